package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const nodeDir = "testdata/node"

// requireNode skips the test where Node or the SDK is not installed. If the environment has CI in
// it, the test fails instead.
func requireNode(t *testing.T) {
	t.Helper()
	missing := ""
	if _, err := exec.LookPath("node"); err != nil {
		missing = "node is not installed: apt-get install nodejs npm"
	} else if _, err := os.Stat(filepath.Join(nodeDir, "node_modules", "@looker")); err != nil {
		missing = "Looker's Node SDK is not installed: npm ci --prefix examples/gateway/" + nodeDir
	}
	_, ci := os.LookupEnv("CI")
	switch {
	case missing != "" && ci:
		t.Fatal(missing)
	case missing != "":
		t.Skip(missing)
	}
}

// node is a program with the official Node SDK, which takes these steps: see program.js.
func (s *served) node(t *testing.T, secret string, steps ...string) *exec.Cmd {
	t.Helper()
	program := exec.CommandContext(t.Context(), "node", append([]string{"program.js"}, steps...)...)
	program.Dir = nodeDir
	program.Stderr = os.Stderr
	program.Env = append(os.Environ(), "LOOKERSDK_BASE_URL="+s.URL,
		"LOOKERSDK_CLIENT_ID="+testKeys[0].ClientID, "LOOKERSDK_CLIENT_SECRET="+secret)
	return program
}

// prints fails the test if the program does not print these lines.
func (s *served) prints(t *testing.T, secret, steps string, want ...string) {
	t.Helper()
	out, err := s.node(t, secret, strings.Fields(steps)...).Output()
	if err != nil {
		t.Error(err)
	}
	if got := strings.Split(strings.TrimSpace(string(out)), "\n"); !slices.Equal(got, want) {
		t.Errorf("%s printed\n%q, want\n%q", steps, got, want)
	}
}

// 20 programs one after the other, and 20 at once, with a revocation between.
func TestNodeProgramsShareOneLoginOfEachUser(t *testing.T) {
	requireNode(t)
	s := startAtFake(t)
	program := func() {
		s.prints(t, testKeys[0].ClientSecret, "me as:790 me look:2 logout me logout",
			"789", "as Bearer", "790",
			`{"body":"","method":"GET","path":"/looks/2/run/csv","user_id":"790"}`, "looked",
			"logout true", "789", "logout true")
	}
	for range 20 {
		program()
	}
	wantLogins(t, s.looker, 1, "789", "790")
	for _, user := range []string{"789", "790"} {
		s.looker.Revoke(user)
	}
	var programs sync.WaitGroup
	for range 20 {
		programs.Go(program)
	}
	programs.Wait()
	wantLogins(t, s.looker, 2, "789", "790")
}

// conversation is a program that is told when to go on.
type conversation struct {
	in  io.Writer
	out *bufio.Scanner
}

// converse starts the program. It ends within the test.
func (s *served) converse(t *testing.T, steps ...string) conversation {
	t.Helper()
	program := s.node(t, testKeys[0].ClientSecret, steps...)
	in, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Wait() }) // the test's context has ended it
	return conversation{in, bufio.NewScanner(out)}
}

// hears fails the test if the program does not print these lines next.
func (c conversation) hears(t *testing.T, want ...string) {
	t.Helper()
	for _, line := range want {
		if !c.out.Scan() || c.out.Text() != line {
			t.Fatalf("printed %q, %v, want %q", c.out.Text(), c.out.Err(), line)
		}
	}
}

// goOn ends a wait of the program.
func (c conversation) goOn(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(c.in, "on\n"); err != nil {
		t.Fatal(err)
	}
}

func TestNodeProgramDoesNotNoticeARevocation(t *testing.T) {
	requireNode(t)
	s := startAtFake(t)
	program := s.converse(t, "me", "as:790", "me", "wait", "me", "logout", "me")
	program.hears(t, "789", "as Bearer", "790")
	s.looker.RevokeAll()
	program.goOn(t)
	program.hears(t, "on", "790", "logout true", "789")
}

func TestNodeProgramWhoseTokenIsOldLogsInAgain(t *testing.T) {
	requireNode(t)
	s := startAtFake(t)
	program := s.converse(t, "me", "wait", "me", "forget", "me")
	program.hears(t, "789")
	s.passed.Add(int64(time.Hour))
	program.goOn(t)
	program.hears(t, "on", "failed: Requires authentication.", "forgotten", "789")
	wantLogins(t, s.looker, 1, "789")
}

func TestNodeProgramIsToldWhatItMayNot(t *testing.T) {
	requireNode(t)
	s := startAtFake(t)
	s.prints(t, "another secret", "me", "failed: Not found")
	s.prints(t, testKeys[0].ClientSecret, "me as:792",
		"789", "failed: This token may not log this user in.")
	wantLogins(t, s.looker, 1, "789")
}

// What Looker has not sent yet, it sends once the program has what came before.
func TestNodeProgramGetsAStreamAsItComes(t *testing.T) {
	requireNode(t)
	s, next := startAtStream(t)
	program := s.converse(t, "look:1")
	for _, line := range []string{"one", "two", "three"} {
		next <- line
		program.hears(t, line)
	}
	close(next)
	program.hears(t, "looked")
}
