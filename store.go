package lookerauth

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
)

// Store shares sealed values between processes, so that a fleet logs each user in once: it is a
// register with compare-and-swap. Two modules in this repository have one: redisstore for Redis and
// Valkey, and filestore for the processes of one machine. Package storetest tests one. All methods
// are safe for concurrent use, return an error soon after ctx ends, and do nothing if it has ended
// before.
//
// Names have up to 64 letters, digits, - and _; values up to 8 KiB, and any bytes. A value whose
// ttl has passed is none, and a name that holds what the Store did not write has none. Values mean
// nothing without [Config.StoreKeys].
//
// Methods are never added: what a Store may do beyond these is an optional interface.
type Store interface {
	// Get returns the value of name, which is the caller's; nil if there is none. It may be a
	// little out of date, as a replica's is.
	Get(ctx context.Context, name string) ([]byte, error)

	// CompareAndSwap makes next the value of name for ttl if its value is old, as one step, and
	// returns the value that name has afterwards: next, or the one that was in the way. Empty old
	// stands for no value; empty next deletes, and only then may ttl be 0. So it may be sent again
	// when an answer was lost: next is never the same twice. After an error nobody knows whether it
	// had its effect. It keeps neither old nor next.
	CompareAndSwap(
		ctx context.Context, name string, old, next []byte, ttl time.Duration,
	) (now []byte, err error)
}

const (
	storeTimeout  = 750 * time.Millisecond // of each operation, at most
	storeRest     = 5 * time.Second        // how long a Store is left alone after an error
	storeRecovery = time.Minute            // how long it has not failed when it works again

	// storeShare is the part of LoginTimeout that an operation may take. A user's first login makes
	// up to six, the service account's included: however slow the Store is, there is time left for
	// Looker.
	storeShare = 16

	// maxLooks is how many logins look into the Store at once as they have to wait for their turn.
	// Thousands may come together, and would wait for each other there until it seems to fail.
	maxLooks = 16
)

// boundedStore calls the user's Store: each call for a limited time, and none for a while after
// one that failed. Without that, an outage of the Store would delay every login.
type boundedStore struct {
	store      Store
	clock      Clock
	timeout    time.Duration // for each operation
	events     *events
	background *guard.Background // has each call under way
	scrub      func(error) error // keeps secrets out of the Store's errors
	looks      chan struct{}     // has room for maxLooks

	mu      sync.Mutex // guards what is below
	failing bool       // it failed, and has not worked for storeRecovery since
	failed  time.Time  // when it last did, by the wall clock
}

// newBoundedStore lets logins that take loginTimeout at most have time for Looker, too.
func newBoundedStore(
	store Store, clock Clock, loginTimeout time.Duration, e *events, b *guard.Background,
	scrub func(error) error,
) *boundedStore {
	return &boundedStore{
		store:      store,
		clock:      clock,
		timeout:    min(storeTimeout, loginTimeout/storeShare),
		events:     e,
		background: b,
		scrub:      scrub,
		looks:      make(chan struct{}, maxLooks),
	}
}

// get is the Store's Get.
func (s *boundedStore) get(ctx context.Context, name string) ([]byte, error) {
	return s.call(ctx, "get", func(ctx context.Context) ([]byte, error) {
		return s.store.Get(ctx, name)
	})
}

// swap is the Store's CompareAndSwap.
func (s *boundedStore) swap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	return s.call(ctx, "swap", func(ctx context.Context) ([]byte, error) {
		return s.store.CompareAndSwap(ctx, name, old, next, ttl)
	})
}

// errStoreTimeout is the error of a call that took too long.
var errStoreTimeout = errors.New("no answer in time")

// call makes one call of the Store, and waits for it until ctx ends, or for as long as it may take.
func (s *boundedStore) call(
	ctx context.Context, op string, f func(context.Context) ([]byte, error),
) ([]byte, error) {
	bound, cancel := context.WithCancel(ctx)
	defer cancel()
	var value []byte
	done := s.background.Run(func() (err error) {
		value, err = f(bound)
		return s.scrub(err)
	})
	select {
	case err := <-done:
		return value, s.observe(ctx, op, err)
	case <-s.clock.After(s.timeout):
		return nil, s.observe(ctx, op, errStoreTimeout)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// observe counts an error, has the Store left alone for a while, and logs the first one of an
// outage and its end. It returns err.
func (s *boundedStore) observe(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return err // it was cut short, which says nothing of the Store
	}
	now := wallTime(s.clock)
	s.mu.Lock()
	wasFailing := s.failing
	switch {
	case err != nil:
		s.failing, s.failed = true, now
	case !within(now.Sub(s.failed), storeRecovery):
		s.failing = false
	}
	isFailing := s.failing
	s.mu.Unlock()

	switch {
	case err != nil:
		s.events.storeFailed(ctx, op, s.timeout, storeRest, err, !wasFailing)
	case wasFailing && !isFailing:
		s.events.storeWorks(ctx)
	}
	return err
}

// resting reports whether the Store is being left alone.
func (s *boundedStore) resting() bool {
	now := wallTime(s.clock)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failing && within(now.Sub(s.failed), storeRest)
}
