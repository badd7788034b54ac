// Package redisserver starts real servers, for tests and for examples/fleet. They listen on
// loopback, keep nothing on disk, and can be killed, paused and restarted empty. On Linux they end
// with the process that started them, even if that is killed.
package redisserver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

var errNotInstalled = errors.New("redis-server is not installed: apt-get install redis-server")

// findServer returns the path of redis-server.
func findServer() (string, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", errNotInstalled
	}
	return path, nil
}

// Server is a redis-server. Make one with [Start], [New] or [NewSentinel]. Its methods are for one
// goroutine at a time.
type Server struct {
	Addr string // host:port

	args    []string
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// Start starts a server that keeps its files in dir, and waits until it serves. args are more
// arguments of redis-server. End it with [Server.Stop]. It is an error if redis-server is not
// installed.
func Start(dir string, args ...string) (*Server, error) {
	args = append([]string{"--dir", dir, "--save", "", "--appendonly", "no"}, args...)
	return start("Ready to accept connections", args)
}

// start gives the server a free port. ready is what it prints when it serves.
func start(ready string, args []string) (*Server, error) {
	var s *Server
	var err error
	for range 5 { // somebody else may take the port first
		port := freePort()
		s = &Server{
			Addr: net.JoinHostPort("127.0.0.1", port),
			args: append(args, "--bind", "127.0.0.1", "--port", port),
		}
		if err = s.run(ready); err == nil || errors.Is(err, errNotInstalled) {
			break
		}
	}
	return s, err
}

// freePort returns a port that is free now. It is below those that systems give to outgoing
// connections, so that a server which is away for a while gets it back.
func freePort() string {
	for {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		if listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			listener.Close()
			return port
		}
	}
}

// run starts the process, and waits until it prints that it is ready.
func (s *Server) run(ready string) error {
	path, err := findServer()
	if err != nil {
		return err
	}
	s.command = exec.Command(path, s.args...)
	s.command.SysProcAttr = endsWithParent
	output, err := s.command.StdoutPipe()
	if err != nil {
		return err
	}
	s.command.Stderr = s.command.Stdout
	s.ended = make(chan struct{})
	served := make(chan error)
	go s.serve(ready, output, served)
	if err := <-served; err != nil {
		<-s.ended
		return err
	}
	return nil
}

// serve sends nil once the server is ready, or an error if it does not get there, and goes on until
// the server ends. It stays on one thread for as long: Linux ends the server with the thread that
// started it.
func (s *Server) serve(ready string, output io.Reader, served chan<- error) {
	defer close(s.ended)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.command.Start(); err != nil {
		served <- err
		return
	}
	printed, err := readUntil(ready, output)
	if err != nil {
		_ = s.command.Process.Kill() // or it has ended
		err = fmt.Errorf("redis-server ended: %s", printed)
	}
	served <- err
	_, _ = io.Copy(io.Discard, output)
	_ = s.command.Wait() // it is killed
}

// readUntil reads lines until there is one with this text in it, and returns them.
func readUntil(text string, r io.Reader) (string, error) {
	var printed strings.Builder
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		printed.WriteString(line)
		if err != nil || strings.Contains(line, text) {
			return printed.String(), err
		}
	}
}

// Stop kills the server with all that is in it, and waits for its end. It may be called again.
func (s *Server) Stop() {
	_ = s.command.Process.Kill() // or it has ended
	<-s.ended
}

// Restart starts the server again at its address, after [Server.Stop], and waits until it serves.
// It is empty.
func (s *Server) Restart() error { return s.run("Ready to accept connections") }
