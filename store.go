package lookerauth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
)

// Store shares sealed tokens between processes, so that a fleet logs each user in once. Package
// redisstore, a module of its own in this repository, has one for Redis and Valkey. All methods are
// safe for concurrent use, and return soon after ctx ends.
//
// Keys are names of up to 64 letters, digits, - and _. Values are at most a few KiB, and mean
// nothing without [Config.StoreKeys].
type Store interface {
	// Get returns the value of key, or [ErrNotStored] if there is none.
	Get(ctx context.Context, key string) ([]byte, error)

	// Put makes value the value of key for ttl, which is positive, in place of the one it may have.
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Delete removes key, but only if it still has this value. If it does not, that is no error.
	Delete(ctx context.Context, key string, value []byte) error

	// Lock waits until the caller alone may log key's identity in, or ctx ends. If the Store does
	// not answer, it should not wait for ctx's end, but return an error. unlock lets the next one;
	// it is called once, perhaps after ctx has ended, and only [Cache.Close] waits for it. A lock
	// whose process has died must open by itself.
	Lock(ctx context.Context, key string) (unlock func(), err error)
}

// ErrNotStored is what [Store.Get] returns for a key that has no value.
var ErrNotStored = errors.New("lookerauth: not in the store")

const (
	storeTimeout  = 750 * time.Millisecond // of each operation but Lock, at most
	lockTimeout   = 5 * time.Second        // for another process's login, at most, before this one
	storeRest     = 5 * time.Second        // how long a Store is left alone after an error
	storeRecovery = time.Minute            // how long it has not failed when it works again

	// A user's first login makes eight calls of the Store: two looks, a lock and a Put, for the
	// service account and for the user. However slow it is, an eighth of LoginTimeout is left for
	// Looker.
	storeShare = 16 // the part of LoginTimeout that an operation may take
	lockShare  = 4  // likewise a Lock
)

// boundedStore calls the user's Store: each call for a limited time, and none for a while after
// one that failed. Without that, an outage of the Store would delay every login.
type boundedStore struct {
	store       Store
	clock       Clock
	timeout     time.Duration // for each operation but Lock
	lockTimeout time.Duration
	events      *events
	background  *guard.Background // has each call under way

	mu      sync.Mutex // guards what is below
	failing bool       // it failed, and has not worked for storeRecovery since
	failed  time.Time  // when it last did, by the wall clock
	rest    bool       // it is left alone for storeRest since
}

// newBoundedStore lets logins that take loginTimeout at most have time for Looker, too.
func newBoundedStore(
	store Store, clock Clock, loginTimeout time.Duration, e *events, b *guard.Background,
) *boundedStore {
	return &boundedStore{
		store:       store,
		clock:       clock,
		timeout:     min(storeTimeout, loginTimeout/storeShare),
		lockTimeout: min(lockTimeout, loginTimeout/lockShare),
		events:      e,
		background:  b,
	}
}

// get returns a value; ErrNotStored if there is none.
func (s *boundedStore) get(ctx context.Context, name string) ([]byte, error) {
	value, err := ask(ctx, s, s.timeout, func(ctx context.Context) ([]byte, error) {
		return s.store.Get(ctx, name)
	})
	if err != nil && errors.Is(err, ErrNotStored) {
		s.observe(ctx, nil)
		return nil, err
	}
	return value, s.observe(ctx, err)
}

// put stores a value for ttl.
func (s *boundedStore) put(
	ctx context.Context, name string, value []byte, ttl time.Duration,
) error {
	_, err := ask(ctx, s, s.timeout, func(ctx context.Context) (any, error) {
		return nil, s.store.Put(ctx, name, value, ttl)
	})
	return s.observe(ctx, err)
}

// remove deletes a value, unless another one has replaced it.
func (s *boundedStore) remove(ctx context.Context, name string, value []byte) error {
	_, err := ask(ctx, s, s.timeout, func(ctx context.Context) (any, error) {
		return nil, s.store.Delete(ctx, name, value)
	})
	return s.observe(ctx, err)
}

// lock waits until this process alone may log the identity in. If that takes too long, or the Store
// does not work, it returns all the same: that costs a login too many.
func (s *boundedStore) lock(ctx context.Context, name string) (unlock func()) {
	nothing := func() {}
	if s.resting() {
		return nothing
	}
	var release func()
	var settled atomic.Bool // the second of a late lock and the caller who has left releases
	_, err := ask(ctx, s, s.lockTimeout, func(ctx context.Context) (any, error) {
		var err error
		if release, err = s.store.Lock(ctx, name); err == nil && settled.Swap(true) {
			release()
		}
		return nil, err
	})
	if err == errStoreTimeout {
		err = errLockTimeout
	}
	_ = s.observe(ctx, err)
	unlock = func() {
		s.background.Run(func() error {
			release()
			return nil
		})
	}
	if err == nil {
		return unlock
	}
	if settled.Swap(true) {
		unlock()
	}
	return nothing
}

// The errors of a call that took too long.
var (
	errStoreTimeout = errors.New("no answer in time")
	errLockTimeout  = errors.New("another process takes long to log an identity in, " +
		"or the Store does not answer")
)

// ask makes one call of the Store, and waits for it until ctx ends, or for d.
func ask[T any](
	ctx context.Context, s *boundedStore, d time.Duration, f func(context.Context) (T, error),
) (T, error) {
	bound, cancel := context.WithCancel(ctx)
	defer cancel()
	var result, none T
	done := s.background.Run(func() (err error) {
		result, err = f(bound)
		return err
	})
	select {
	case err := <-done:
		return result, err
	case <-s.clock.After(d):
		return none, errStoreTimeout
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// observe counts an error, has the Store left alone for a while, and logs the first one of an
// outage and its end. It returns err.
func (s *boundedStore) observe(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err // it was cut short, which says nothing of the Store
	}
	now := wallTime(s.clock)
	s.mu.Lock()
	wasFailing := s.failing
	switch {
	case err != nil:
		s.failing, s.failed = true, now
		// A lock that takes long is no reason to leave the Store alone: then this process would
		// log everybody in itself.
		s.rest = err != errLockTimeout
	case !within(now.Sub(s.failed), storeRecovery):
		s.failing = false
	}
	isFailing := s.failing
	s.mu.Unlock()

	switch {
	case err != nil:
		s.events.storeFailed(ctx, err, !wasFailing)
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
	return s.failing && s.rest && within(now.Sub(s.failed), storeRest)
}
