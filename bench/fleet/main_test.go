package main

import (
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain is a worker, too: the program starts those of its own executable.
func TestMain(m *testing.M) {
	if isWorker() {
		if err := work(os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// small is a fleet that is soon measured.
var small = options{processes: 3, slots: 2, users: 200, rounds: 1, login: time.Millisecond}

// measureSmall measures a small fleet, whose Redis was always fast enough. It skips the test if
// there is no such run on this machine.
func measureSmall(t *testing.T) []result {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	for range 3 {
		rounds, err := measure(t.Context(), small)
		if err != nil {
			t.Fatal(err)
		}
		var results []result
		var failed uint64
		for _, trial := range rounds {
			r := trial[0]
			results = append(results, r)
			failed += r.cold.storeErrors + r.refresh.storeErrors + r.looks.storeErrors
		}
		if failed == 0 {
			return results
		}
	}
	t.Skip("the machine is too slow: Redis takes longer than a process waits for it")
	return nil
}

func TestStoreCostsSoManyLoginsAndRoundTrips(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	results := measureSmall(t)
	users, processes := small.users, small.processes
	for i, want := range []int{
		oneProcess:     users + 1,
		ownUsers:       users + processes,
		ownUsersStored: users + 1,
		allUsers:       processes * (users + 1),
		allUsersStored: users + 1,
	} {
		if got := results[i].cold.logins; got != want {
			t.Errorf("%s: %d logins, want %d", small.trials()[i].name, got, want)
		}
	}

	stored := results[ownUsersStored]
	// The service account's token is everybody's, and each process may have to send the script.
	service := uint64(20 * processes)
	for name, test := range map[string]struct {
		got   figures
		times int
		most  int // round trips each: one is a look while no slot is free
	}{
		"login":   {stored.cold, users, 3},
		"refresh": {stored.refresh, users, 4},
		"found":   {stored.looks, users * (processes - 1), 1},
	} {
		least := uint64(test.times)
		if got := test.got.roundTrips; got < least || got > least*uint64(test.most)+service {
			t.Errorf("%s: %d round trips for %d, want at most %d each", name, got, test.times,
				test.most)
		}
		if test.got.commands < least || test.got.redis < 0 {
			t.Errorf("%s: Redis was not asked: %+v", name, test.got)
		}
	}
	if got := stored.refresh.logins; got != users+1 {
		t.Errorf("%d logins for the refreshes, want %d", got, users+1)
	}
	if got := stored.looks.logins; got != 0 {
		t.Errorf("%d logins though all tokens are in the Store", got)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left %v, error %v", left, err)
	}
}

func TestTablesArePrinted(t *testing.T) {
	results := make([][]result, len(small.trials()))
	for i := range results {
		results[i] = make([]result, small.rounds)
		results[i][0].cold.time = time.Duration(i+1) * time.Second
	}
	var out strings.Builder
	printResults(&out, small, results)
	for i, trial := range small.trials() {
		if !strings.Contains(out.String(), trial.name) {
			t.Errorf("%s is missing", trial.name)
		}
		if ratio := []string{"1.00", "2.00", "3.00", "4.00", "5.00"}[i]; !strings.Contains(
			out.String(), ratio) {
			t.Errorf("the ratio %s is missing", ratio)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestReadmeThatCannotBeWrittenIsAnError(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "README.md")
	args := []string{"-processes", "1", "-users", "1", "-rounds", "1", "-readme", missing}
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err := run(t.Context(), args, io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	for _, args := range []string{
		"-processes 0", "-slots 0", "-users 0", "-rounds 0", "-login -1s", "argument",
	} {
		if err := run(t.Context(), strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
	if err := run(t.Context(), []string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}
