// Package redisstore shares lookerauth's tokens between processes through Redis or Valkey, be it a
// single server, one behind Sentinel, or a Cluster.
//
//	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
//	cfg.Store = redisstore.New(client)
//	cfg.StoreKeys = [][]byte{key} // 32 random bytes, the same in every process
//
// cfg is a [lookerauth.Config]. What the server sees is sealed: it learns no token and no user id.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth"
)

// Store is a [lookerauth.Store] in Redis or Valkey. Make one with [New], as the zero Store is of no
// use. It is safe for concurrent use.
//
// It stores the value of a key under "lookerauth:{key}" until the token in it expires. That key's
// lock is under "lookerauth:{key}:lock" for as long as a login takes. The braces keep the two in
// one slot of a Cluster.
//
// Its methods block until the server has answered, or their context ends. An error wraps the
// client's, or is the context's cause.
type Store struct {
	client redis.UniversalClient
	prefix string
}

var _ lookerauth.Store = (*Store)(nil)

// Option changes what [New] makes.
type Option func(*Store)

// WithPrefix makes all names in Redis start with this prefix instead of "lookerauth:". Use one
// without braces. With {text} in it all names are in one slot of a Cluster, and with {} a token and
// its lock may be in two; the Store works all the same.
func WithPrefix(prefix string) Option {
	return func(s *Store) { s.prefix = prefix }
}

// New makes a [Store] of the client. It makes no call and does not block. The client stays the
// caller's: close it after the [lookerauth.Cache].
//
// Whatever the client's options are, an operation returns soon after its context ends. On the wire
// it may go on until the client's own timeouts end it: a client heeds deadlines there only with
// ContextTimeoutEnabled. A client that reads from replicas may miss a token that was stored a
// moment ago, which costs a login.
func New(client redis.UniversalClient, opts ...Option) *Store {
	s := &Store{client: client, prefix: "lookerauth:"}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

// name is where the value of key is. All names of a key have the same hash tag.
func (s *Store) name(key string) string { return s.prefix + "{" + key + "}" }

// Get implements [lookerauth.Store]. The error is [lookerauth.ErrNotStored] if there is no value.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := within(ctx, func() ([]byte, error) {
		return s.client.Get(ctx, s.name(key)).Bytes()
	}, nil)
	if errors.Is(err, redis.Nil) {
		return nil, lookerauth.ErrNotStored
	}
	if err != nil {
		return nil, fmt.Errorf("redisstore: get: %w", err)
	}
	return value, nil
}

// Put implements [lookerauth.Store]. A ttl of less than a millisecond counts as one.
func (s *Store) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	ttl = max(ttl, time.Millisecond) // without one, the value would stay for ever
	_, err := within(ctx, func() (string, error) {
		return s.client.Set(ctx, s.name(key), value, ttl).Result()
	}, nil)
	if err != nil {
		return fmt.Errorf("redisstore: put: %w", err)
	}
	return nil
}

// Delete implements [lookerauth.Store]. If key has another value, or none, it does nothing.
func (s *Store) Delete(ctx context.Context, key string, value []byte) error {
	if err := s.deleteIf(ctx, s.name(key), value); err != nil {
		return fmt.Errorf("redisstore: delete: %w", err)
	}
	return nil
}

// deleteIfScript deletes KEYS[1] if its value is ARGV[1].
var deleteIfScript = redis.NewScript(`
if redis.call("GET", KEYS[1]) == ARGV[1] then
	return redis.call("DEL", KEYS[1])
end
return 0`)

func (s *Store) deleteIf(ctx context.Context, name string, value any) error {
	_, err := within(ctx, func() (any, error) {
		return deleteIfScript.Run(ctx, s.client, []string{name}, value).Result()
	}, nil)
	return err
}

// within returns what call does, or ctx's cause as soon as ctx ends. undo runs, unless it is nil,
// after a call whose caller has left. It also runs after one that failed, as that may have had its
// effect all the same.
func within[T any](ctx context.Context, call func() (T, error), undo func()) (T, error) {
	type result struct {
		value T
		err   error
	}
	results := make(chan result) // not buffered: what was sent was received
	go func() {
		value, err := call()
		select {
		case results <- result{value, err}:
			if err == nil {
				return
			}
		case <-ctx.Done():
		}
		if undo != nil {
			undo()
		}
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
