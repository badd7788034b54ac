//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/redisstore"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

// operations are all that a Store does.
var operations = map[string]func(ctx context.Context, store *redisstore.Store) error{
	"Get": func(ctx context.Context, store *redisstore.Store) error {
		_, err := store.Get(ctx, "key")
		return err
	},
	"Put": func(ctx context.Context, store *redisstore.Store) error {
		return store.Put(ctx, "key", []byte("value"), time.Hour)
	},
	"Delete": func(ctx context.Context, store *redisstore.Store) error {
		return store.Delete(ctx, "key", []byte("value"))
	},
	"Lock": func(ctx context.Context, store *redisstore.Store) error {
		_, err := store.Lock(ctx, "key")
		return err
	},
}

func TestDeadServerIsAnError(t *testing.T) {
	server := redisserver.New(t)
	// Retries would take seconds.
	client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	store := redisstore.New(client)
	unlock := lock(t, store, "other")
	check(t, store.Put(t.Context(), "key", []byte("value"), time.Hour))
	server.Stop()
	for name, operation := range operations {
		for range 2 { // with the connection that was open, and with a new one
			err := soon(t, name, func() error { return operation(t.Context(), store) })
			if err == nil || errors.Is(err, lookerauth.ErrNotStored) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	check(t, soon(t, "unlock", func() error { unlock(); return nil }))
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
			check(t, connected.Put(t.Context(), "key", []byte("value"), time.Hour))
			check(t, server.Pause())
			for name, operation := range operations {
				unconnected := newPatientStore(t, server.Addr, options)
				for _, store := range []*redisstore.Store{connected, unconnected} {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
					defer cancel()
					err := soon(t, name, func() error { return operation(ctx, store) })
					if err == nil || errors.Is(err, lookerauth.ErrNotStored) {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		})
	}
}

func TestLockGivesUpOnASilentServerLongBeforeItsContextEnds(t *testing.T) {
	for kind, options := range patient {
		t.Run(kind, func(t *testing.T) {
			server := redisserver.New(t)
			store := newPatientStore(t, server.Addr, options)
			unlock := lock(t, store, "other")
			check(t, server.Pause())
			err := soon(t, "Lock", func() error { return operations["Lock"](t.Context(), store) })
			if err == nil {
				t.Error("it got the lock")
			}
			check(t, soon(t, "unlock", func() error { unlock(); return nil }))
		})
	}
}

// forgetful is a hook that loses the answer to the next command.
type forgetful struct{ commands }

func (f forgetful) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	var once sync.Once
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := f.commands.ProcessHook(next)(ctx, cmd)
		once.Do(func() { err = errors.New("the connection was lost") })
		return err
	}
}

func TestLockWhoseAnswerWasLostIsGivenBack(t *testing.T) {
	client := newClient(t, redisserver.New(t).Addr)
	store := redisstore.New(client)
	lock(t, store, "key")() // the server knows the scripts
	answers := make(commands, 2)
	client.AddHook(forgetful{answers})
	if err := operations["Lock"](t.Context(), store); err == nil {
		t.Fatal("the answer was not lost")
	}
	answers.await(t, 2) // of the lock, and of giving it back
	if got := names(t, client); len(got) != 0 {
		t.Errorf("%q is held by nobody", got)
	}
}

// A lock that the server gave when nobody waited for it any more would keep everybody else out.
func TestLockThatCameTooLateIsGivenBack(t *testing.T) {
	for name, lost := range map[string]int{
		"at once": 0, "with the second try": 1, "with the third try": 2,
	} {
		t.Run(name, func(t *testing.T) {
			server := redisserver.New(t)
			client := newClient(t, server.Addr)
			store := redisstore.New(client)
			lock(t, store, "key")() // it is connected, and the server knows the scripts
			answers := make(commands, 2+lost)
			client.AddHook(failing{answers, lost})
			check(t, server.Pause())
			if err := operations["Lock"](t.Context(), store); err == nil {
				t.Fatal("a paused server gave the lock")
			}
			check(t, server.Resume())
			answers.await(t, 2+lost) // of the lock, and of the tries to give it back
			got := names(t, newClient(t, server.Addr))
			if slices.Contains(got, "lookerauth:{key}:lock") {
				t.Error("it is held by nobody")
			}
		})
	}
}

// failing is a hook that sends the first command, and so many after it not.
type failing struct {
	commands
	lost int
}

func (f failing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	var n atomic.Int32
	return f.commands.ProcessHook(func(ctx context.Context, cmd redis.Cmder) error {
		if i := int(n.Add(1)); i > 1 && i <= 1+f.lost {
			return errNotNow
		}
		return next(ctx, cmd)
	})
}

func TestResumedServerIsUsedAgain(t *testing.T) {
	server := redisserver.New(t)
	store := newStore(t, server.Addr)
	check(t, store.Put(t.Context(), "key", []byte("value"), time.Hour))
	check(t, server.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := store.Get(ctx, "key"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused server: %v", err)
	}
	check(t, server.Resume())
	wantValue(t, store, "key", []byte("value"))
	lock(t, store, "key")()
}
