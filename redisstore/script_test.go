//go:build unix

package redisstore_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// scripted is a server that answers as a test says, and as Redis if that says nothing: as one that
// has no value.
type scripted struct {
	addr    string
	answers atomic.Pointer[map[string]answer] // by command, or with its first argument
	hostile atomic.Int32                      // how many of those were sent

	mu    sync.Mutex
	conns []net.Conn
	all   sync.WaitGroup
}

// answer is what a server sends. It is cut if the client leaves.
type answer struct {
	text    string
	forever string // after text, again and again
	slowly  bool   // text, byte by byte
	silent  bool   // and then the connection stays open

	bytes, again []byte // text and forever
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := &scripted{addr: listener.Addr().String()}
	s.answer(nil)
	s.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			s.all.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.heal()
		s.all.Wait()
	})
	return s
}

// answer has these commands answered so, from now on.
func (s *scripted) answer(answers map[string]answer) {
	for command, a := range answers { // sending must allocate nothing: tests measure the client
		a.bytes, a.again = []byte(a.text), []byte(a.forever)
		answers[command] = a
	}
	s.answers.Store(&answers)
}

// heal makes the server answer as Redis, as one that was started again.
func (s *scripted) heal() {
	s.answer(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
	s.conns = nil
}

func (s *scripted) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		command, err := readCommand(reader)
		if err != nil {
			return
		}
		answers := *s.answers.Load()
		a, isHostile := answers[command[0]]
		if !isHostile && len(command) > 1 {
			a, isHostile = answers[command[0]+" "+command[1]]
		}
		if isHostile {
			s.hostile.Add(1)
		} else {
			a.bytes = []byte(usual(command))
		}
		if !a.send(conn) || isHostile && !a.silent {
			return
		}
	}
}

// send reports whether all could be sent.
func (a answer) send(conn net.Conn) bool {
	rest := a.bytes
	for a.slowly && len(rest) > 1 {
		if _, err := conn.Write(rest[:1]); err != nil {
			return false
		}
		rest = rest[1:]
	}
	_, err := conn.Write(rest)
	for len(a.again) > 0 && err == nil {
		_, err = conn.Write(a.again)
	}
	return err == nil
}

func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readNumber(r)
	if err != nil {
		return nil, err
	}
	command := make([]string, n)
	for i := range command {
		size, err := readNumber(r)
		if err != nil {
			return nil, err
		}
		arg := make([]byte, size+2)
		if _, err := io.ReadFull(r, arg); err != nil {
			return nil, err
		}
		command[i] = string(arg[:size])
	}
	return command, nil
}

func readNumber(r *bufio.Reader) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// usual is what a server without values answers: a swap gets what it puts there.
func usual(command []string) string {
	switch command[0] {
	case "hello":
		return "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n"
	case "getrange":
		return "$0\r\n\r\n"
	case "evalsha", "eval":
		next := command[5]
		return fmt.Sprintf("$%d\r\n%s\r\n", len(next), next)
	}
	return "+OK\r\n"
}
