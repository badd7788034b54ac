package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// server is a Redis of this program's own. It keeps nothing on disk.
type server struct {
	addr    string
	client  *redis.Client
	command *exec.Cmd
	dir     string
}

// startRedis starts a server, on a free port of the loopback interface.
func startRedis(ctx context.Context) (s *server, err error) {
	for range 5 { // somebody else may take the port first
		if s, err = tryRedis(ctx); err == nil || errors.Is(err, exec.ErrNotFound) {
			break
		}
	}
	return s, err
}

func tryRedis(ctx context.Context) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err = errors.Join(err, listener.Close()); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return nil, err
	}
	s := &server{addr: net.JoinHostPort(host, port), dir: dir}
	s.command = exec.CommandContext(ctx, "redis-server", "--bind", host, "--port", port,
		"--dir", dir, "--save", "", "--appendonly", "no")
	printed, err := s.command.StdoutPipe()
	if err == nil {
		err = s.command.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for lines := bufio.NewScanner(printed); lines.Scan(); {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			s.client = redis.NewClient(&redis.Options{Addr: s.addr})
			return s, nil
		}
	}
	return nil, errors.Join(errors.New("redis-server does not start"), s.stop())
}

// stop kills the server.
func (s *server) stop() error {
	if s.client != nil {
		s.client.Close()
	}
	_ = s.command.Process.Kill() // or it has ended
	_ = s.command.Wait()         // it was killed, and says so
	return os.RemoveAll(s.dir)
}

// load is what a server has done since it started, and what it holds.
type load struct {
	processor time.Duration
	commands  uint64 // of Stores, those within scripts among them
	memory    int64  // without its connections'
}

// load asks the server.
func (s *server) load(ctx context.Context) (l load, err error) {
	text, err := s.client.Info(ctx, "cpu", "commandstats").Result()
	if err != nil {
		return l, err
	}
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		info[name] = value
	}
	for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
		seconds, err := strconv.ParseFloat(info[name], 64)
		if err != nil {
			return l, fmt.Errorf("INFO %s: %w", name, err)
		}
		l.processor += time.Duration(seconds * float64(time.Second))
	}
	if name, err := s.client.RandomKey(ctx).Result(); err == nil { // else there is none yet
		if l.memory, err = s.client.MemoryUsage(ctx, name).Result(); err != nil {
			return l, fmt.Errorf("MEMORY USAGE: %w", err)
		}
	}
	for _, command := range []string{"evalsha", "eval", "getrange", "set", "del"} {
		var calls uint64 // 0 of a command that was never called
		_, _ = fmt.Sscanf(info["cmdstat_"+command], "calls=%d,", &calls)
		l.commands += calls
	}
	return l, nil
}
