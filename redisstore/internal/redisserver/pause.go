//go:build unix

package redisserver

import "syscall"

// Pause makes the server do nothing until [Server.Resume]. The system still accepts connections for
// it.
func (s *Server) Pause() error { return s.command.Process.Signal(syscall.SIGSTOP) }

// Resume lets the server go on where it was, after [Server.Pause].
func (s *Server) Resume() error { return s.command.Process.Signal(syscall.SIGCONT) }
