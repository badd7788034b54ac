package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// A call whose context has ended before is an error, and has no effect.
func endedContext(s *subject) {
	for what, end := range map[string]func(context.Context) (context.Context, func()){
		"was cancelled": func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		},
		"is too late": func(ctx context.Context) (context.Context, func()) {
			return context.WithDeadline(ctx, time.Now().Add(-time.Hour))
		},
	} {
		ctx, cancel := end(s.Context())
		defer cancel()
		name, value := newName(), newValue()
		s.failsSoon("Get", what, func() error {
			_, err := s.store.Get(ctx, name)
			return err
		})
		swapFails := func(old, next []byte) {
			s.failsSoon("CompareAndSwap", what, func() error {
				_, err := s.store.CompareAndSwap(ctx, name, old, next, ttl)
				return err
			})
		}
		swapFails(none, newValue())
		s.holds(name, none)
		s.swap(name, none, value, value)
		swapFails(value, newValue())
		swapFails(value, none)
		s.holds(name, value)
	}
}

// failsSoon fails the test unless call returns an error soon.
func (s *subject) failsSoon(method, what string, call func() error) {
	s.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		if err == nil {
			s.Errorf("%s: no error, though its context %s", method, what)
		}
	case <-time.After(patience):
		s.Errorf("%s goes on, though its context %s", method, what)
	}
}

// Callers count together, and leave meanwhile. A swap either has its effect and answers so, or it
// is an error. None has an effect later, or keeps others from theirs.
func contextThatEndsMeanwhile(s *subject) {
	name := newName()
	var done, unknown atomic.Int64
	results := make(chan error, callers*rounds)
	for range callers {
		go func() {
			for range rounds {
				results <- s.countOnce(name, &done, &unknown)
			}
		}()
	}
	for range cap(results) {
		select {
		case err := <-results:
			if err != nil {
				s.Errorf("Get: %v", err)
			}
		case <-time.After(patience):
			s.Fatal("a call goes on long after its context has ended")
		}
	}
	count := int64(counted(s.current(name)))
	if count < done.Load() || count > done.Load()+unknown.Load() {
		s.Errorf("counted to %d with %d swaps that succeeded, and %d errors",
			count, done.Load(), unknown.Load())
	}
	s.swap(name, s.current(name), none, none)
}

// countOnce tries to add one to the number in the value of name, as its context ends. The error is
// one from before.
func (s *subject) countOnce(name string, done, unknown *atomic.Int64) error {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	old, err := s.store.Get(ctx, name)
	if err != nil {
		return err
	}
	next := fmt.Appendf(nil, "%d %s", counted(old)+1, newValue())
	go cancel()
	now, err := s.store.CompareAndSwap(ctx, name, old, next, ttl)
	switch {
	case err != nil:
		unknown.Add(1)
	case bytes.Equal(now, next):
		done.Add(1)
	}
	return nil
}
