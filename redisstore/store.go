// Package redisstore shares lookerauth's tokens between processes through Redis or Valkey, be it a
// single server, one behind Sentinel, or a Cluster.
//
//	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
//	cfg.Store = redisstore.New(client)
//	cfg.StoreKeys = [][]byte{key} // 32 random bytes, the same in every process
//
// cfg is a [lookerauth.Config]. Values are sealed, so that the server learns no token. Names are
// hashes of what can be guessed: Looker's address, the API key's client id, and the user's id.
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
// It keeps the value of a name under "lookerauth:" and the name, until its ttl has passed. What it
// finds there that is no string, or is longer than 8 KiB, it takes for no value, and replaces.
//
// Its methods block until the server has answered, or their context ends. An error wraps the
// client's, or the context's cause.
type Store struct {
	client redis.UniversalClient
	prefix string
}

var _ lookerauth.Store = (*Store)(nil)

// Option changes what [New] makes. The zero Option changes nothing.
type Option struct{ apply func(*Store) }

// WithPrefix makes all names in Redis start with this prefix, which may be empty, instead of
// "lookerauth:". With {text} in it, all of them are in one slot of a Cluster.
func WithPrefix(prefix string) Option {
	return Option{func(s *Store) { s.prefix = prefix }}
}

// New makes a [Store] of the client, and panics if that is nil. It makes no call and does not
// block. The client stays the caller's: close it after the [lookerauth.Cache].
//
// Whatever the client's options are, an operation returns soon after its context ends. On the wire
// it may go on until the client's own timeouts end it: a client heeds deadlines there only with
// ContextTimeoutEnabled. A client that reads from replicas may miss a token that was stored a
// moment ago, which costs a call more.
//
// New adds a hook to the client. With it, the client reads little more than 8 KiB as a reply to a
// Store or to the handshake, whatever the server sends. That holds if the client was not used
// before, and has no MinIdleConns. It does not hold for a Ring, for what a client asks Sentinel, or
// a Cluster about its nodes, and for replies to others who use it.
func New(client redis.UniversalClient, opts ...Option) *Store {
	s := &Store{client: client, prefix: "lookerauth:"}
	for _, opt := range opts {
		if opt.apply != nil {
			opt.apply(s)
		}
	}
	boundConnections(client)
	return s
}

// maxSize is that of the longest value. Nothing reads more than a byte beyond it.
const maxSize = 8 << 10

// Get implements [lookerauth.Store].
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	value, err := within(ctx, func() (string, error) {
		return s.client.GetRange(ctx, s.prefix+name, 0, maxSize).Result()
	})
	if redis.HasErrorPrefix(err, "WRONGTYPE") || len(value) > maxSize {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("redisstore: get: %w", err)
	}
	return value, nil
}

// swapScript makes ARGV[2] the value of KEYS[1] for ARGV[3] milliseconds if it is ARGV[1], and
// returns the value that there is afterwards. An empty one stands for none. The client may send it
// again: the second time ARGV[2] is there already.
var swapScript = redis.NewScript(swapSource)

const swapSource = `
local now = redis.pcall("GETRANGE", KEYS[1], 0, 8192)
local failed = type(now) == "table"
if failed and not now.err:find("WRONGTYPE") then
	return now
end
if failed or #now > 8192 then
	now = ""
end
if now ~= ARGV[1] then
	return now
end
if ARGV[2] == "" then
	redis.call("DEL", KEYS[1])
else
	redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
end
return ARGV[2]`

// CompareAndSwap implements [lookerauth.Store]. A ttl is rounded up to milliseconds, and to one at
// least. A next of more than 8 KiB is an error.
func (s *Store) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) (now []byte, err error) {
	if len(next) > maxSize {
		return nil, fmt.Errorf("redisstore: swap: a value of %d bytes, at most %d are kept",
			len(next), maxSize)
	}
	keys := []string{s.prefix + name}
	// The call may go on after this has returned. It has copies of the caller's slices.
	from, to, milliseconds := string(old), string(next), (max(ttl, 1)-1).Milliseconds()+1
	now, err = within(ctx, func() (string, error) {
		return swapScript.Run(ctx, s.client, keys, from, to, milliseconds).Text()
	})
	if err != nil {
		return nil, fmt.Errorf("redisstore: swap: %w", err)
	}
	return now, nil
}

// within returns what call answers, nil if that is empty, or ctx's cause as soon as ctx ends. It
// makes no call if that is before.
func within(ctx context.Context, call func() (string, error)) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	type result struct {
		answer string
		err    error
	}
	results := make(chan result, 1) // nobody may be there to receive it
	go func() {
		r := result{err: errors.New("the client has left the goroutine")}
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("the client panicked: %v", p)
			}
			results <- r
		}()
		r.answer, r.err = call()
	}()
	var r result
	select {
	case r = <-results:
	case <-ctx.Done():
		r.err = ctx.Err()
	}
	switch {
	case r.err != nil && ctx.Err() != nil: // the client may have been the first to notice
		return nil, context.Cause(ctx)
	case r.answer == "":
		return nil, r.err
	}
	return []byte(r.answer), r.err
}
