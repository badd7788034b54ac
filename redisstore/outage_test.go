//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth/redisstore"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

// operations are all that a Store does.
var operations = map[string]func(ctx context.Context, store *redisstore.Store) error{
	"Get": func(ctx context.Context, store *redisstore.Store) error {
		_, err := store.Get(ctx, "name")
		return err
	},
	"CompareAndSwap": func(ctx context.Context, store *redisstore.Store) error {
		_, err := store.CompareAndSwap(ctx, "name", nil, []byte("value"), time.Hour)
		return err
	},
}

func TestDeadServerIsAnError(t *testing.T) {
	server := redisserver.New(t)
	// Retries would take seconds.
	client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	store := redisstore.New(client)
	swap(t, store, "name", "", "value", "value")
	server.Stop()
	for name, operation := range operations {
		for range 2 { // with the connection that was open, and with a new one
			err := soon(t, name, func() error { return operation(t.Context(), store) })
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	}
}

// patient are the options of clients that wait for an answer for ever, each in its own way.
var patient = map[string]redis.Options{
	"by its own timeouts":       {ReadTimeout: -1, WriteTimeout: -1},
	"by the context's deadline": {ReadTimeout: -1, WriteTimeout: -1, ContextTimeoutEnabled: true},
}

func newPatientStore(t *testing.T, addr string, options redis.Options) *redisstore.Store {
	t.Helper()
	options.Addr = addr
	client := redis.NewClient(&options)
	t.Cleanup(func() { client.Close() })
	return redisstore.New(client)
}

func TestOperationReturnsWhenItsContextEnds(t *testing.T) {
	for kind, options := range patient {
		t.Run(kind, func(t *testing.T) {
			server := redisserver.New(t)
			connected := newPatientStore(t, server.Addr, options)
			swap(t, connected, "name", "", "value", "value")
			check(t, server.Pause())
			for name, operation := range operations {
				unconnected := newPatientStore(t, server.Addr, options)
				for _, store := range []*redisstore.Store{connected, unconnected} {
					cause := errors.New("the cause")
					ctx, cancel := context.WithTimeoutCause(
						t.Context(), 20*time.Millisecond, cause)
					defer cancel()
					err := soon(t, name, func() error { return operation(ctx, store) })
					if !errors.Is(err, cause) {
						t.Errorf("%s: %v, want the context's cause", name, err)
					}
				}
			}
		})
	}
}

// Whether the client or the Store is the first to notice that the context has ended differs.
func TestErrorIsTheContextsCause(t *testing.T) {
	cause := errors.New("the cause")
	for name, operation := range operations {
		for range 100 {
			ctx, cancel := context.WithCancelCause(t.Context())
			store := newStore(t, nowhere, hook(func(ctx context.Context, cmd redis.Cmder) error {
				cancel(cause)
				cmd.SetErr(ctx.Err())
				return ctx.Err()
			}))
			if err := operation(ctx, store); !errors.Is(err, cause) {
				t.Fatalf("%s: %v, want the context's cause", name, err)
			}
		}
	}
}

func TestNothingIsSentAfterTheContextHasEnded(t *testing.T) {
	for name, operation := range operations {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("the cause")
			cancel(cause)
			sent := false
			store := newStore(t, nowhere, hook(func(context.Context, redis.Cmder) error {
				sent = true
				return nil
			}))
			err := operation(ctx, store)
			synctest.Wait()
			if !errors.Is(err, cause) || sent {
				t.Errorf("%s: %v, sent: %t, want the context's cause, and nothing sent",
					name, err, sent)
			}
		})
	}
}

// A call goes on after its caller has left, who may use the slices for something else.
func TestCallThatGoesOnHasValuesOfItsOwn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	left, sent := make(chan struct{}), make(chan []any, 1)
	store := newStore(t, nowhere, hook(func(_ context.Context, cmd redis.Cmder) error {
		cancel()
		<-left
		sent <- cmd.Args()
		return nil
	}))
	old, next := []byte("old"), []byte("next")
	if _, err := store.CompareAndSwap(ctx, "name", old, next, time.Hour); err == nil {
		t.Error("no error")
	}
	copy(old, "xxx")
	copy(next, "xxxx")
	close(left)
	if args := fmt.Sprintf("%s", <-sent); !strings.Contains(args, "old next") {
		t.Errorf("sent: %s", args)
	}
}

func TestResumedServerIsUsedAgain(t *testing.T) {
	server := redisserver.New(t)
	store := newStore(t, server.Addr)
	swap(t, store, "name", "", "value", "value")
	check(t, server.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := store.Get(ctx, "name"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused server: %v", err)
	}
	check(t, server.Resume())
	wantValue(t, store, "name", "value")
}
