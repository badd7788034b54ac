//go:build unix

package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/redisstore"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(settling{m}) }

// settling gives what the tests left some seconds to end. A client whose server went away ends its
// dialling up to a second after it was closed, and a Store its tries to open a lock.
type settling struct{ *testing.M }

func (s settling) Run() int {
	code := s.M.Run()
	for range 20 {
		if goleak.Find() == nil { // it waits for almost half a second
			break
		}
	}
	return code
}

// guard is how long what should return soon may take before a test calls it a hang.
const guard = time.Minute

// newClient returns a client with default options of the server at addr, with these hooks.
func newClient(t *testing.T, addr string, hooks ...redis.Hook) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { client.Close() })
	for _, hook := range hooks {
		client.AddHook(hook)
	}
	return client
}

// newStore returns a Store as a process has it, with a client of its own.
func newStore(t *testing.T, addr string, hooks ...redis.Hook) *redisstore.Store {
	t.Helper()
	return redisstore.New(newClient(t, addr, hooks...))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lock takes a lock that is free.
func lock(t *testing.T, store *redisstore.Store, key string) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	unlock, err := store.Lock(ctx, key)
	check(t, err)
	return unlock
}

// wantValue fails the test unless this is the value of key; none if it is nil.
func wantValue(t *testing.T, store *redisstore.Store, key string, want []byte) {
	t.Helper()
	got, err := store.Get(t.Context(), key)
	if want == nil {
		if !errors.Is(err, lookerauth.ErrNotStored) {
			t.Errorf("%s is %q, %v, want none", key, got, err)
		}
		return
	}
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is %q, %v, want %q", key, got, err, want)
	}
}

// names returns all names in the server.
func names(t *testing.T, client *redis.Client) []string {
	t.Helper()
	names, err := client.Keys(t.Context(), "*").Result()
	check(t, err)
	slices.Sort(names)
	return names
}

// soon runs f, which must return before the guard, and returns its error.
func soon(t *testing.T, what string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(guard):
		t.Fatalf("%s hangs", what)
		return nil
	}
}

// commands is a hook that sends a value for every command that has been answered.
type commands chan struct{}

func (c commands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		select {
		case c <- struct{}{}:
		default:
		}
		return err
	}
}

// await waits for n commands.
func (c commands) await(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-c:
		case <-time.After(guard):
			t.Fatal("no command")
		}
	}
}

func TestStoreWorksOnEveryKindOfServer(t *testing.T) {
	kinds := map[string]func(*testing.T) redis.UniversalClient{
		"single": func(t *testing.T) redis.UniversalClient {
			return redis.NewClient(&redis.Options{Addr: redisserver.New(t).Addr})
		},
		"Sentinel": func(t *testing.T) redis.UniversalClient {
			sentinel, master := redisserver.NewSentinel(t)
			return redis.NewFailoverClient(&redis.FailoverOptions{
				MasterName: master, SentinelAddrs: []string{sentinel.Addr},
			})
		},
		"Cluster": func(t *testing.T) redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{Addrs: redisserver.NewCluster(t)})
		},
	}
	for name, newClient := range kinds {
		t.Run(name, func(t *testing.T) {
			client := newClient(t)
			defer client.Close()
			store := redisstore.New(client)
			// These keys are in slots of all three masters.
			for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
				unlock := lock(t, store, key)
				check(t, store.Put(t.Context(), key, []byte("value of "+key), time.Hour))
				unlock()
				wantValue(t, store, key, []byte("value of "+key))
				check(t, store.Delete(t.Context(), key, []byte("value of "+key)))
				wantValue(t, store, key, nil)
				lock(t, store, key)()
			}
		})
	}
}

func TestTokenAndLockAreInOneSlot(t *testing.T) {
	addrs := redisserver.NewCluster(t)
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	defer cluster.Close()
	store := redisstore.New(cluster)
	lock(t, store, "key")
	check(t, store.Put(t.Context(), "key", []byte("value"), time.Hour))
	// A command with names of different slots is an error.
	n, err := cluster.Exists(t.Context(), "lookerauth:{key}", "lookerauth:{key}:lock").Result()
	if n != 2 || err != nil {
		t.Errorf("%d exist, %v", n, err)
	}
}

func TestPrefixWithBracesWorksOnACluster(t *testing.T) {
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: redisserver.NewCluster(t)})
	defer cluster.Close()
	for _, prefix := range []string{"{}:", "{tokens}:", "{", "}"} {
		store := redisstore.New(cluster, redisstore.WithPrefix(prefix))
		unlock := lock(t, store, "key")
		check(t, store.Put(t.Context(), "key", []byte("value"), time.Hour))
		wantValue(t, store, "key", []byte("value"))
		check(t, store.Delete(t.Context(), "key", []byte("value")))
		wantValue(t, store, "key", nil)
		unlock()
		lock(t, store, "key")()
	}
}

func TestNamesStartWithThePrefix(t *testing.T) {
	client := newClient(t, redisserver.New(t).Addr)
	first := redisstore.New(client)
	second := redisstore.New(client, redisstore.WithPrefix("reports:"))
	for _, store := range []*redisstore.Store{first, second} {
		lock(t, store, "key")
		check(t, store.Put(t.Context(), "key", []byte("value"), time.Hour))
	}
	want := []string{
		"lookerauth:{key}", "lookerauth:{key}:lock", "reports:{key}", "reports:{key}:lock",
	}
	if got := names(t, client); !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}

func TestPutReplacesTheValue(t *testing.T) {
	store := newStore(t, redisserver.New(t).Addr)
	wantValue(t, store, "key", nil)
	for _, value := range []string{"one", "\x00\xff\r\n", "three"} {
		check(t, store.Put(t.Context(), "key", []byte(value), time.Hour))
		wantValue(t, store, "key", []byte(value))
	}
	wantValue(t, store, "other", nil)
}

func TestValueExpires(t *testing.T) {
	client := newClient(t, redisserver.New(t).Addr)
	store := redisstore.New(client)
	for _, ttl := range []time.Duration{
		time.Hour, 1500 * time.Millisecond, time.Microsecond, 0, -time.Hour,
	} {
		check(t, store.Put(t.Context(), "key", []byte("value"), ttl))
		left, err := client.PTTL(t.Context(), "lookerauth:{key}").Result()
		check(t, err)
		if left == -1 || left > max(ttl, time.Millisecond) || left < ttl-time.Minute {
			t.Errorf("put for %v, and %v are left", ttl, left)
		}
	}
}

func TestDeleteRemovesThatValueOnly(t *testing.T) {
	store := newStore(t, redisserver.New(t).Addr)
	check(t, store.Delete(t.Context(), "key", []byte("value")))
	check(t, store.Put(t.Context(), "key", []byte("value"), time.Hour))
	check(t, store.Delete(t.Context(), "key", []byte("another")))
	wantValue(t, store, "key", []byte("value"))
	check(t, store.Delete(t.Context(), "key", []byte("value")))
	wantValue(t, store, "key", nil)
}

func TestProcessesExcludeEachOther(t *testing.T) {
	addr := redisserver.New(t).Addr
	stores := []*redisstore.Store{newStore(t, addr), newStore(t, addr)}
	var inside atomic.Int32
	var all sync.WaitGroup
	for _, store := range stores {
		for range 4 {
			all.Go(func() {
				for range 5 {
					unlock := lock(t, store, "key")
					if inside.Add(1) != 1 {
						t.Error("two have the lock")
					}
					wantValue(t, store, "key", nil) // some time passes
					inside.Add(-1)
					unlock()
				}
			})
		}
	}
	all.Wait()
}

func TestLocksOfDifferentKeysAreIndependent(t *testing.T) {
	store := newStore(t, redisserver.New(t).Addr)
	lock(t, store, "one")
	lock(t, store, "other")
}

func TestWaiterGetsTheLockWhenItIsReleased(t *testing.T) {
	addr := redisserver.New(t).Addr
	unlock := lock(t, newStore(t, addr), "key")
	tries := make(commands)
	waiter := newStore(t, addr, tries)
	err := soon(t, "Lock", func() error {
		got := make(chan error, 1)
		go func() {
			_, err := waiter.Lock(t.Context(), "key")
			got <- err
		}()
		tries.await(t, 3)
		unlock()
		return <-got
	})
	check(t, err)
}

func TestWaitEndsWithTheContext(t *testing.T) {
	addr := redisserver.New(t).Addr
	lock(t, newStore(t, addr), "key")
	tries := make(commands)
	waiter := newStore(t, addr, tries)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the cause")
	err := soon(t, "Lock", func() error {
		go func() {
			tries.await(t, 3)
			cancel(cause)
		}()
		_, err := waiter.Lock(ctx, "key")
		return err
	})
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

func TestLockOfADeadProcessOpensByItself(t *testing.T) {
	addr := redisserver.New(t).Addr
	client := newClient(t, addr)
	lock(t, newStore(t, addr), "key")
	left, err := client.PTTL(t.Context(), "lookerauth:{key}:lock").Result()
	check(t, err)
	if left <= 0 || left > redisstore.LockTTL {
		t.Errorf("it opens in %v", left)
	}
	// As if that had passed:
	check(t, client.PExpire(t.Context(), "lookerauth:{key}:lock", time.Millisecond).Err())
	lock(t, newStore(t, addr), "key")
}

func TestUnlockLeavesALockThatIsAnothersNow(t *testing.T) {
	addr := redisserver.New(t).Addr
	client := newClient(t, addr)
	late := lock(t, newStore(t, addr), "key")
	check(t, client.Del(t.Context(), "lookerauth:{key}:lock").Err())
	unlock := lock(t, newStore(t, addr), "key")
	late()
	if got := names(t, client); !slices.Equal(got, []string{"lookerauth:{key}:lock"}) {
		t.Errorf("names %q", got)
	}
	unlock()
	if got := names(t, client); len(got) != 0 {
		t.Errorf("names %q", got)
	}
}

// repeater is a hook that sends each command twice, as a client does which did not get the first
// answer.
type repeater struct{ commands }

func (repeater) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		_ = next(ctx, cmd)
		return next(ctx, cmd)
	}
}

func TestLockIsOursIfTheClientHadToAskTwice(t *testing.T) {
	lock(t, newStore(t, redisserver.New(t).Addr, repeater{}), "key")
}

func TestRestartedServerIsUsedAgain(t *testing.T) {
	server := redisserver.New(t)
	store := newStore(t, server.Addr)
	check(t, store.Put(t.Context(), "key", []byte("value"), time.Hour))
	lock(t, store, "key")
	server.Stop()
	_, err := store.Get(t.Context(), "key")
	if err == nil || errors.Is(err, lookerauth.ErrNotStored) {
		t.Errorf("a dead server: %v", err)
	}
	check(t, server.Restart())
	wantValue(t, store, "key", nil)
	unlock := lock(t, store, "key")
	check(t, store.Put(t.Context(), "key", []byte("new"), time.Hour))
	wantValue(t, store, "key", []byte("new"))
	check(t, store.Delete(t.Context(), "key", []byte("new")))
	unlock()
}
