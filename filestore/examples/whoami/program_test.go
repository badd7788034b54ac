//go:build unix

package main

import (
	"bufio"
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

// What SIGTERM leaves alive is in the folder, for the next run.
func TestSIGTERMLeavesNoTokenThatIsNotKept(t *testing.T) {
	looker := lookertest.New(t)
	setEnv(t, looker.Config())
	waiting := make(chan struct{})
	looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
		if call.Op != lookertest.OpAPI || call.UserID != "7" {
			return lookertest.Fault{}
		}
		close(waiting)
		return lookertest.Fault{Delay: time.Hour}
	})
	args := []string{"-cache", t.TempDir() + "/tokens", "-user", "7"}
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), programVariable+"=1")
	printed, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	<-waiting
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(printed).ReadString('\n')
	const unnamed = "context canceled" // Go 1.25 does not tell which signal it was
	if !strings.Contains(line, "terminated signal received") && !strings.Contains(line, unnamed) {
		t.Errorf("printed %q", line)
	}
	if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != 1 {
		t.Errorf("ended with %v, want status 1", err)
	}
	looker.FailFunc(nil)
	if out := output(t, args...); !strings.Contains(out, "no login:") {
		t.Errorf("the next run printed:\n%s", out)
	}
}
