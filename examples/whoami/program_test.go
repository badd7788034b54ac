//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth/lookertest"
)

// programVariable makes the tests' program whoami itself.
const programVariable = "WHOAMI_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// program is whoami as a process, and what it prints to stderr.
func program(t *testing.T, args ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), programVariable+"=1")
	printed := &strings.Builder{}
	command.Stderr = printed
	return command, printed
}

func TestSIGTERMLeavesNoTokenAlive(t *testing.T) {
	looker := lookertest.New(t)
	setEnv(t, looker.Config())
	waiting := make(chan struct{})
	looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
		if call.Op != lookertest.OpAPI || call.UserID != "8" {
			return lookertest.Fault{}
		}
		close(waiting)
		return lookertest.Fault{Delay: time.Hour}
	})
	command, printed := program(t, "-user", "7", "-user", "8")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	<-waiting
	if alive := looker.Alive(); len(alive) != 3 {
		t.Errorf("alive are %v, want 3 identities", alive)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	errors.As(command.Wait(), &exit)
	if exit == nil || exit.ExitCode() != 1 {
		t.Errorf("ended with %v, want status 1", exit)
	}
	const unnamed = "whoami: context canceled\n" // Go 1.25 does not tell which signal it was
	if got := printed.String(); got != unnamed && got != "whoami: terminated signal received\n" {
		t.Errorf("printed %q", got)
	}
	if alive := looker.Alive(); len(alive) != 0 {
		t.Errorf("tokens are left alive: %v", alive)
	}
}

func TestNothingIsDrawnIntoAPipe(t *testing.T) {
	t.Setenv("LOOKERSDK_BASE_URL", "")
	t.Setenv("LOOKERSDK_CLIENT_ID", "")
	t.Setenv("LOOKERSDK_CLIENT_SECRET", "")
	command, printed := program(t)
	out, err := command.Output()
	if err != nil || !strings.Contains(string(out), "median request") {
		t.Errorf("ended with %v, and printed %s", err, out)
	}
	if printed.Len() != 0 || strings.Contains(string(out), "\r") {
		t.Errorf("printed %q to stderr, and\n%q", printed.String(), out)
	}
}
