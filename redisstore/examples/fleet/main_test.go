//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/lookerauth/lookerauth/lookertest"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

// fleetProgram is the path of the program. It is built without the race detector: with it, so many
// processes at once are slow enough to take Redis for a server that does not answer.
var fleetProgram string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	logging.Disable() // tests dial where nobody is
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	fleetProgram = filepath.Join(dir, "fleet")
	build := exec.Command("go", "build", "-race=false", "-o", fleetProgram, ".")
	if printed, err := build.CombinedOutput(); err != nil {
		log.Fatalf("%v: %s", err, printed)
	}
	return m.Run()
}

// program is the program, with a directory of its own for its files.
func program(t *testing.T, args ...string) (command *exec.Cmd, dir string) {
	t.Helper()
	redisserver.Require(t)
	dir = t.TempDir()
	command = exec.CommandContext(t.Context(), fleetProgram, args...)
	command.Env = append(os.Environ(), "TMPDIR="+dir)
	return command, dir
}

// output runs the program to its end, and returns what it printed.
func output(t *testing.T, args ...string) string {
	t.Helper()
	command, dir := program(t, args...)
	printed, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	wantEmpty(t, dir)
	return string(printed)
}

// figuresOf returns the two figures in the row of the table that starts with name.
func figuresOf(t *testing.T, printed, name string) (without, with int) {
	t.Helper()
	without, with, found := findRow(printed, name)
	if !found {
		t.Fatalf("no row %q in:\n%s", name, printed)
	}
	return without, with
}

func findRow(printed, name string) (without, with int, found bool) {
	row := regexp.MustCompile(`(?m)^` + name + ` +(\d+) +(\d+)$`).FindStringSubmatch(printed)
	if row == nil {
		return 0, 0, false
	}
	without, _ = strconv.Atoi(row[1])
	with, _ = strconv.Atoi(row[2])
	return without, with, true
}

// withoutStoreErrors returns what the program printed in a run in which Redis was always fast
// enough. It skips the test if there is no such run on this machine.
func withoutStoreErrors(t *testing.T, args ...string) string {
	t.Helper()
	for range 3 {
		printed := output(t, args...)
		if _, _, found := findRow(printed, "store errors"); !found {
			return printed
		}
		t.Logf("processes went on alone:\n%s", printed)
	}
	t.Skip("this machine is too slow: in each of 3 runs a process got no answer from Redis in time")
	return ""
}

// 8 processes that act as the same 100 users, all at once.
func TestFleetLogsEachUserInOnce(t *testing.T) {
	printed := withoutStoreErrors(t, "-workers", "8", "-users", "100")
	for _, row := range []struct {
		name          string
		without, with int
		atMost        int // with the store
	}{
		{"logins", 8 * 101, 101, 103},
		{"logins of the process that replaced one", 101, 0, 0},
		{"requests", 900, 900, 900},
		{"failed requests", 0, 0, 0},
	} {
		without, with := figuresOf(t, printed, row.name)
		if without != row.without || with < row.with || with > row.atMost {
			t.Errorf("%s: %d without the store and %d with it, want %d and %d to %d",
				row.name, without, with, row.without, row.with, row.atMost)
		}
	}
}

func TestFleetUsesTheServerItIsGiven(t *testing.T) {
	server := redisserver.New(t)
	printed := output(t, "-workers", "2", "-users", "5", "-redis", server.Addr)
	if without, with := figuresOf(t, printed, "logins"); without != 12 || with != 6 {
		t.Errorf("%d and %d logins, want 12 and 6", without, with)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer client.Close()
	if n, err := client.DBSize(t.Context()).Result(); n != 6 || err != nil {
		t.Errorf("%d names in the server, want 6; %v", n, err)
	}
}

func TestInterruptEndsAllProcesses(t *testing.T) {
	command, dir := program(t, "-workers", "2", "-users", "10000000")
	printed, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errors strings.Builder
	command.Stderr = &errors // the workers have it, too: Wait waits for their end
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	// A line is printed once it has started its server.
	if _, err := bufio.NewReader(printed).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err = command.Wait()
	const unnamed = "context canceled" // Go 1.25 does not tell which signal it was
	said := strings.Contains(errors.String(), "interrupt") ||
		strings.Contains(errors.String(), unnamed)
	if err == nil || !said {
		t.Errorf("ended with %v, and printed %q", err, errors.String())
	}
	wantEmpty(t, dir)
}

// wantEmpty fails the test if files are left. They go after the server has been stopped.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestBadArgumentsAreRefused(t *testing.T) {
	bad := []string{"-workers 0", "-users 0", "-users x", "more", "-redis 127.0.0.1:1"}
	for _, args := range bad {
		if err := run(t.Context(), strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
	if err := run(t.Context(), []string{"-h"}, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestFailedRequestIsTheProgramsFailure(t *testing.T) {
	var printed strings.Builder
	failed := figures{requests: 5, failures: 1, failure: "the reason"}
	err := show(&printed, figures{requests: 5}, failed)
	if err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Error(err)
	}
	if _, with := figuresOf(t, printed.String(), "failed requests"); with != 1 {
		t.Error(printed.String())
	}
}

func TestStoreErrorsOfTheWorkersAreCounted(t *testing.T) {
	looker := lookertest.New(t)
	cfg := looker.Config()
	for name, value := range map[string]string{
		"LOOKERSDK_BASE_URL":      cfg.BaseURL,
		"LOOKERSDK_CLIENT_ID":     cfg.ClientID,
		"LOOKERSDK_CLIENT_SECRET": cfg.ClientSecret,
		"LOOKERSDK_API_VERSION":   "4.0",
		"LOOKERSDK_VERIFY_SSL":    "",
		"LOOKERSDK_TIMEOUT":       "",
		usersVariable:             "3",
		redisVariable:             "127.0.0.1:1", // where nobody is
		storeKeyVariable:          strings.Repeat("00", 32),
	} {
		t.Setenv(name, value)
	}
	in, tasks := io.Pipe()
	reports, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- work(t.Context(), in, out) }()
	var f figures
	if err := f.count([]*worker{{tasks: tasks, reports: json.NewDecoder(reports)}}); err != nil {
		t.Error(err)
	}
	tasks.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	var printed strings.Builder
	if err := show(&printed, figures{}, f); err != nil {
		t.Error(err)
	}
	if without, with := figuresOf(t, printed.String(), "store errors"); without != 0 || with == 0 {
		t.Errorf("%d and %d store errors, want 0 and some", without, with)
	}
}

func TestTableHasNoRowOfStoreErrorsIfThereIsNone(t *testing.T) {
	var printed strings.Builder
	if err := show(&printed, figures{}, figures{}); err != nil {
		t.Error(err)
	}
	if _, _, found := findRow(printed.String(), "store errors"); found {
		t.Error(printed.String())
	}
}
