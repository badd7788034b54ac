package lookerauth

import (
	"context"
	"errors"
	"time"
)

// Store shares sealed tokens between processes, so that a fleet logs each user in once. Package redisstore, a module of its own
// in this repository, has one for Redis and Valkey. All methods are safe for concurrent use, and return soon after ctx ends.
//
// Keys are names of up to 64 letters, digits, - and _. Values are at most a few KiB, and mean nothing without the Config's
// StoreKeys.
type Store interface {
	// Get returns the value of key, or ErrNotStored if there is none.
	Get(ctx context.Context, key string) ([]byte, error)

	// Put makes value the value of key for ttl, in place of the one it may have.
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Delete removes key, but only if it still has this value. If it does not, that is no error.
	Delete(ctx context.Context, key string, value []byte) error

	// Lock waits until the caller alone may log key's identity in, or ctx ends. unlock lets the next one; it is called once,
	// and nobody waits for it. A lock whose process has died must open by itself.
	Lock(ctx context.Context, key string) (unlock func(), err error)
}

// ErrNotStored is what Store.Get returns for a key that has no value.
var ErrNotStored = errors.New("lookerauth: not in the store")
