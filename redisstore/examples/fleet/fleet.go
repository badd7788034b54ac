package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/lookerauth/lookerauth/lookertest"
)

// figures are what is measured of one fleet.
type figures struct {
	requests, failures int
	failure            string // why one of those failed
	logins             int    // login and login_user, of all workers until one was killed
	restartLogins      int    // of the one that replaced it
	liveTokens         int    // at Looker at the end, of the identity that has the most
	storeErrors        uint64 // when Redis was not fast enough, and a process went on alone
}

// measure runs a fleet against a fake Looker of its own. The fleet has no store if redisAddr is
// empty.
func measure(ctx context.Context, o options, redisAddr string) (f figures, err error) {
	looker, err := lookertest.Start()
	if err != nil {
		return f, err
	}
	defer looker.Close()
	key := make([]byte, 32)
	rand.Read(key) // which never fails
	cfg := looker.Config()
	fleet := fleet{env: append(os.Environ(),
		"LOOKERSDK_BASE_URL="+cfg.BaseURL,
		"LOOKERSDK_CLIENT_ID="+cfg.ClientID,
		"LOOKERSDK_CLIENT_SECRET="+cfg.ClientSecret,
		"LOOKERSDK_API_VERSION=4.0",
		"LOOKERSDK_VERIFY_SSL=",
		"LOOKERSDK_TIMEOUT=",
		usersVariable+"="+strconv.Itoa(o.users),
		redisVariable+"="+redisAddr,
		storeKeyVariable+"="+hex.EncodeToString(key),
	)}
	defer func() {
		err = errors.Join(err, fleet.end())
		if ctx.Err() != nil {
			err = context.Cause(ctx) // which ended the workers
		}
	}()
	for range o.workers {
		if err := fleet.add(ctx); err != nil {
			return f, err
		}
	}
	if err := f.count(fleet.workers); err != nil {
		return f, err
	}
	f.logins = logins(looker)

	if err := fleet.replaceOne(ctx); err != nil {
		return f, err
	}
	if err := f.count(fleet.workers[len(fleet.workers)-1:]); err != nil {
		return f, err
	}
	f.restartLogins = logins(looker) - f.logins
	for _, n := range looker.Alive() {
		f.liveTokens = max(f.liveTokens, n)
	}
	return f, nil
}

// logins returns how many calls to log anybody in the Looker got.
func logins(looker *lookertest.Server) int {
	return looker.Count(lookertest.OpLogin, "") + looker.Count(lookertest.OpLoginUser, "")
}

// count lets the workers send their requests, all at the same time, and adds up what they report.
func (f *figures) count(workers []*worker) error {
	reports := make([]report, len(workers))
	var group errgroup.Group
	for i, w := range workers {
		group.Go(func() (err error) {
			reports[i], err = w.sendAll()
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, r := range reports {
		f.requests += r.Requests
		f.failures += r.Failures
		f.failure = cmp.Or(f.failure, r.Failure)
		f.storeErrors += r.StoreErrors // each worker reports once
	}
	return nil
}

// fleet is the worker processes that run.
type fleet struct {
	env     []string // of each worker
	workers []*worker
}

// worker is a process as its parent sees it.
type worker struct {
	command *exec.Cmd
	tasks   io.WriteCloser // its standard input
	reports *json.Decoder  // its standard output
}

// add starts a worker. It is killed when ctx ends.
func (f *fleet) add(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, program)
	command.Env = f.env
	command.Stderr = os.Stderr
	tasks, err := command.StdinPipe()
	if err != nil {
		return err
	}
	reports, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	f.workers = append(f.workers, &worker{command, tasks, json.NewDecoder(reports)})
	return nil
}

// replaceOne kills the first worker, which gets no chance to clean up, and starts another one.
func (f *fleet) replaceOne(ctx context.Context) error {
	first := f.workers[0]
	f.workers = f.workers[1:]
	if err := first.command.Process.Kill(); err != nil {
		return err
	}
	_ = first.command.Wait() // it was killed, and says so
	return f.add(ctx)
}

// end lets all workers end, and waits for them.
func (f *fleet) end() error {
	var errs []error
	for _, w := range f.workers {
		errs = append(errs, w.tasks.Close())
	}
	for _, w := range f.workers {
		errs = append(errs, w.command.Wait())
	}
	return errors.Join(errs...)
}

// sendAll has the worker send one request as each user.
func (w *worker) sendAll() (report, error) {
	var r report
	if _, err := io.WriteString(w.tasks, "\n"); err != nil {
		return r, err
	}
	if err := w.reports.Decode(&r); err != nil {
		return r, fmt.Errorf("a worker did not report: %w", err)
	}
	return r, nil
}
