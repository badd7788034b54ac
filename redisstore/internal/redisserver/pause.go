//go:build unix

package redisserver

import "syscall"

// Pause makes the server do nothing until Resume. The system still accepts connections for it.
func (s *Server) Pause() error { return s.command.Process.Signal(syscall.SIGSTOP) }

// Resume lets it go on where it was.
func (s *Server) Resume() error { return s.command.Process.Signal(syscall.SIGCONT) }
