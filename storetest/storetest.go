// Package storetest holds the rules of a [lookerauth.Store] as tests, for those who write one:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) lookerauth.Store { return mystore.New() })
//	}
package storetest

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
)

// Run tests what open returns against each rule of [lookerauth.Store], in a subtest that opens a
// Store of its own. Besides, calls whose context has ended must return an error soon.
//
// The Stores may have their values in common, and hold others before; do not open one that is in
// use. Run leaves values behind. It waits for some to expire, which takes milliseconds, and for a
// Get that is out of date, up to 10 seconds for each.
func Run(t *testing.T, open func(t *testing.T) lookerauth.Store) {
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) { rule.check(&subject{t, open(t)}) })
	}
}

// patience is how long what takes a moment may take before it is a failure.
var patience = 10 * time.Second

// ttl is that of values which shall not expire. No value in a Store lives longer.
const ttl = 24 * time.Hour

// none is no value.
var none []byte

// subject is a Store under test. Its methods end the test if the Store returns an error.
type subject struct {
	*testing.T
	store lookerauth.Store
}

// newName returns a name that has no value.
func newName() string { return crand.Text() }

// newValue returns a value that there was never before.
func newValue() []byte { return []byte(crand.Text()) }

func (s *subject) get(name string) []byte {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	value, err := s.store.Get(ctx, name)
	if err != nil {
		s.Fatalf("Get: %v", err)
	}
	return value
}

func (s *subject) swapFor(ttl time.Duration, name string, old, next []byte) (now []byte) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	now, err := s.store.CompareAndSwap(ctx, name, old, next, ttl)
	if err != nil {
		s.Fatalf("CompareAndSwap: %v", err)
	}
	return now
}

// swap swaps, and fails the test unless the answer is want.
func (s *subject) swap(name string, old, next, want []byte) {
	s.Helper()
	if now := s.swapFor(ttl, name, old, next); !bytes.Equal(now, want) {
		s.Errorf("a swap of %s for %s returned %s, want %s",
			quote(old), quote(next), quote(now), quote(want))
	}
}

// current returns the value of name as a swap sees it, which is never out of date.
func (s *subject) current(name string) []byte {
	s.Helper()
	return s.swapFor(ttl, name, newValue(), newValue())
}

// holds fails the test unless want is the value of name, as a swap sees it at once and Get sooner
// or later.
func (s *subject) holds(name string, want []byte) {
	s.Helper()
	if now := s.current(name); !bytes.Equal(now, want) {
		s.Errorf("a swap of another value returned %s, want %s", quote(now), quote(want))
	}
	var got []byte
	if !eventually(func() bool {
		got = s.get(name)
		return bytes.Equal(got, want)
	}) {
		s.Errorf("Get returned %s, want %s", quote(got), quote(want))
	}
	if got != nil && len(got) == 0 {
		s.Error("Get returned an empty slice, want nil")
	}
}

// eventually reports whether ok is true sooner or later.
func eventually(ok func() bool) bool {
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// quote is how a value prints.
func quote(value []byte) string {
	const most = 32
	switch n := len(value); {
	case n == 0:
		return "none"
	case n > most:
		return fmt.Sprintf("%q... (%d bytes)", value[:most], n)
	}
	return fmt.Sprintf("%q", value)
}
