package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// fleet is worker processes, and what they use.
type fleet struct {
	looker  *lookertest.Server
	redis   *server // nil: they have no Store
	workers []*process
}

// process is a worker as its parent sees it.
type process struct {
	command *exec.Cmd
	input   io.WriteCloser
	tasks   *json.Encoder
	reports *json.Decoder
	last    report
}

// startFleet starts so many workers, and waits until they are ready.
func startFleet(
	ctx context.Context, n int, s settings, looker *lookertest.Server, redis *server,
) (*fleet, error) {
	f := &fleet{looker: looker, redis: redis}
	for range n {
		if err := f.add(ctx, s); err != nil {
			return nil, errors.Join(err, f.end())
		}
	}
	for _, p := range f.workers {
		if err := p.receive(); err != nil {
			return nil, errors.Join(err, f.end())
		}
	}
	return f, nil
}

// add starts a worker. It is killed when ctx ends.
func (f *fleet) add(ctx context.Context, s settings) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, program)
	command.Env = append(os.Environ(), workerVariable+"=1")
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		return err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	p := &process{
		command: command,
		input:   input,
		tasks:   json.NewEncoder(input),
		reports: json.NewDecoder(output),
	}
	f.workers = append(f.workers, p)
	return p.tasks.Encode(s)
}

// receive waits for a report.
func (p *process) receive() error {
	var r report
	if err := p.reports.Decode(&r); err != nil {
		return fmt.Errorf("a worker did not report: %w", err)
	}
	p.last = r
	if r.Failure != "" {
		return fmt.Errorf("a worker got no token: %s", r.Failure)
	}
	return nil
}

// do has the workers do a task each, all at the same time, and returns what that took.
func (f *fleet) do(ctx context.Context, tasks []task) (figures, error) {
	before, err := f.used(ctx)
	if err != nil {
		return figures{}, err
	}
	began := time.Now()
	for i, p := range f.workers {
		if err := p.tasks.Encode(tasks[i]); err != nil {
			return figures{}, err
		}
	}
	for _, p := range f.workers {
		if err := p.receive(); err != nil {
			return figures{}, err
		}
	}
	took := time.Since(began)
	after, err := f.used(ctx)
	if err != nil {
		return figures{}, err
	}
	used := after.minus(before)
	used.time = took
	return used, nil
}

// used is what was used so far.
func (f *fleet) used(ctx context.Context) (u figures, err error) {
	u.logins, u.looker = logins(f.looker), processorTime()
	for _, p := range f.workers {
		u.roundTrips += p.last.RoundTrips
		u.found += p.last.Found
		u.storeErrors += p.last.StoreErrors
		u.workers += p.last.Processor
	}
	if f.redis == nil {
		return u, nil
	}
	load, err := f.redis.load(ctx)
	u.redis, u.commands, u.memory = load.processor, load.commands, load.memory
	return u, err
}

// end lets all workers end, and waits for them.
func (f *fleet) end() error {
	var errs []error
	for _, p := range f.workers {
		errs = append(errs, p.input.Close())
	}
	for _, p := range f.workers {
		errs = append(errs, p.command.Wait())
	}
	return errors.Join(errs...)
}
