package main

import (
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/lookerauth/lookerauth/lookertest"
)

// interval is how often each worker sends a request. It leaves the processor idle most of the time,
// so that what is seen is the wait for logins and not the one for a core.
const interval = 10 * time.Millisecond

// load is what every contestant has to cope with.
type load struct {
	duration  time.Duration // of the measurement; half-way every token is revoked
	tokenLife time.Duration
	login     time.Duration // how long a login takes
	workers   int
}

func (l load) validate() error {
	var errs []error
	if l.duration < 2*interval {
		errs = append(errs, errors.New("-duration is too short: use a second or more"))
	}
	if l.tokenLife < time.Second || l.tokenLife%time.Second != 0 {
		errs = append(errs, errors.New("-life must be whole seconds, one or more"))
	}
	if l.login < 0 {
		errs = append(errs, errors.New("-login must not be negative"))
	}
	if l.workers < 1 {
		errs = append(errs, errors.New("-workers must be 1 or more"))
	}
	return errors.Join(errs...)
}

// sample is one request.
type sample struct {
	due     time.Duration // when it was to be sent, since the clock started
	latency time.Duration // from then until it was answered
	err     error         // nil if it succeeded
}

func (s sample) failed() bool { return s.err != nil }

// trial is how one contestant coped.
type trial struct {
	name       string
	firstLogin time.Duration   // the slowest first request of a worker, before the clock started
	samples    []sample        // of all workers
	revoked    time.Duration   // when every token was revoked, since the clock started
	logins     []time.Duration // when each began, since the clock started
}

// try runs the load through the contestant. It closes looker in the end.
func try(c contestant, looker *lookertest.Server, l load) (trial, error) {
	defer looker.Close()
	looker.SetTokenLife(l.tokenLife)
	begun := slowLogins(looker, l.login)
	send, stop, err := c.start(looker.Config())
	if err != nil {
		return trial{}, err
	}
	defer stop()

	t := trial{name: c.name}
	if t.firstLogin, err = warmUp(send, l.workers); err != nil {
		return trial{}, err
	}
	start := time.Now()
	t.measure(send, looker, l, start)
	for _, at := range begun() {
		t.logins = append(t.logins, at.Sub(start))
	}
	return t, nil
}

// slowLogins makes every login take as long as login, and returns a function that returns when each
// began.
func slowLogins(looker *lookertest.Server, login time.Duration) (begun func() []time.Time) {
	var (
		mu    sync.Mutex
		times []time.Time // guarded by mu
	)
	looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
		if call.Op != lookertest.OpLogin {
			return lookertest.Fault{}
		}
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Now())
		return lookertest.Fault{Delay: login}
	})
	return func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(times)
	}
}

// warmUp has every worker send its first request, for which nobody can have a token, and returns
// how long the slowest waited.
func warmUp(send func() error, workers int) (slowest time.Duration, err error) {
	errs := make([]error, workers)
	var group sync.WaitGroup
	start := time.Now()
	for i := range workers {
		group.Go(func() { errs[i] = send() })
	}
	group.Wait()
	return time.Since(start), errors.Join(errs...)
}

// measure runs the workers, and what revokes the tokens.
func (t *trial) measure(send func() error, looker *lookertest.Server, l load, start time.Time) {
	var group sync.WaitGroup
	group.Go(func() {
		time.Sleep(l.duration / 2)
		// Before it happens: no request that it harms is answered earlier.
		t.revoked = time.Since(start)
		looker.RevokeAll()
	})
	samples := make([][]sample, l.workers)
	for i := range l.workers {
		first := interval * time.Duration(i) / time.Duration(l.workers) // the workers take turns
		group.Go(func() { samples[i] = work(send, start, first, l.duration) })
	}
	group.Wait()
	t.samples = slices.Concat(samples...)
}

// work sends a request at every interval. While one waits, the next ones become due and are sent
// late, as those of users would be: latency counts from when a request was due, or a stall of
// 300 ms would be seen as one slow request and not as 30.
func work(send func() error, start time.Time, first, duration time.Duration) (samples []sample) {
	for due := first; due < duration; due += interval {
		time.Sleep(time.Until(start.Add(due)))
		err := send()
		samples = append(samples, sample{due, time.Since(start) - due, err})
	}
	return samples
}

// phase is a part of a trial.
type phase struct {
	requests, failures, logins int
	latencies                  []float64 // of the requests that succeeded, in seconds, ascending
}

// phase has the requests that were answered from one moment on until another, and the logins that
// began then.
func (t trial) phase(from, until time.Duration) (p phase) {
	within := func(at time.Duration) bool { return from <= at && at < until }
	for _, s := range t.samples {
		if !within(s.due + s.latency) {
			continue
		}
		p.requests++
		if s.failed() {
			p.failures++
			continue
		}
		p.latencies = append(p.latencies, s.latency.Seconds())
	}
	for _, at := range t.logins {
		if within(at) {
			p.logins++
		}
	}
	slices.Sort(p.latencies)
	return p
}

func (t trial) beforeTheClock() phase  { return t.phase(math.MinInt64, 0) }
func (t trial) untilRevocation() phase { return t.phase(0, t.revoked) }
func (t trial) fromRevocation() phase  { return t.phase(t.revoked, math.MaxInt64) }

// quantile is the latency in seconds that this share of the successful requests did not exceed; NaN
// if there was none.
func (p phase) quantile(share float64) float64 {
	if len(p.latencies) == 0 {
		return math.NaN()
	}
	return stat.Quantile(share, stat.Empirical, p.latencies, nil)
}
