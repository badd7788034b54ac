//go:build unix

package redisstore_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/redisstore"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
	"github.com/lookerauth/lookerauth/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(settling{m}) }

// settling gives what the tests left some seconds to end. A client whose server went away ends its
// dialling up to a second after it was closed.
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

// hook answers every command itself.
type hook func(context.Context, redis.Cmder) error

func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h hook) ProcessHook(redis.ProcessHook) redis.ProcessHook { return redis.ProcessHook(h) }

// nowhere is the address of clients that never connect. It is no name, as that would be looked up
// when a client is made.
const nowhere = "127.0.0.1:1"

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

// swap swaps, and fails the test unless the answer is want.
func swap(t *testing.T, store *redisstore.Store, name, old, next, want string) {
	t.Helper()
	now, err := store.CompareAndSwap(t.Context(), name, []byte(old), []byte(next), time.Hour)
	if err != nil || string(now) != want {
		t.Errorf("%s: a swap of %.20q for %.20q returned %.20q, %v, want %.20q",
			name, old, next, now, err, want)
	}
}

// wantValue fails the test unless this is the value of name; "" is none.
func wantValue(t *testing.T, store *redisstore.Store, name, want string) {
	t.Helper()
	got, err := store.Get(t.Context(), name)
	if err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Errorf("%s is %.20q, %v, want %.20q", name, got, err, want)
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
			storetest.Run(t, func(*testing.T) lookerauth.Store { return redisstore.New(client) })
			var all []string
			for _, node := range nodes(t, client) {
				all = append(all, names(t, node)...)
			}
			for _, name := range all {
				if !strings.HasPrefix(name, "lookerauth:") {
					t.Errorf("name %q", name)
				}
			}
			if len(all) == 0 {
				t.Error("nothing was stored")
			}
		})
	}
}

// nodes returns clients of each server that a client stores in.
func nodes(t *testing.T, client redis.UniversalClient) (nodes []*redis.Client) {
	t.Helper()
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return []*redis.Client{client.(*redis.Client)}
	}
	var mu sync.Mutex
	check(t, cluster.ForEachMaster(t.Context(), func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, node)
		return nil
	}))
	return nodes
}

// turns is a Store whose calls go to two clients in turn, as those of two processes.
type turns struct {
	stores [2]*redisstore.Store
	calls  atomic.Uint32
}

func (s *turns) next() *redisstore.Store { return s.stores[s.calls.Add(1)%2] }

func (s *turns) Get(ctx context.Context, name string) ([]byte, error) {
	return s.next().Get(ctx, name)
}

func (s *turns) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	return s.next().CompareAndSwap(ctx, name, old, next, ttl)
}

func TestTwoProcessesSeeTheSameValues(t *testing.T) {
	addr := redisserver.New(t).Addr
	storetest.Run(t, func(t *testing.T) lookerauth.Store {
		return &turns{stores: [2]*redisstore.Store{newStore(t, addr), newStore(t, addr)}}
	})
}

func TestPrefixWithBracesWorksOnACluster(t *testing.T) {
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: redisserver.NewCluster(t)})
	defer cluster.Close()
	for _, prefix := range []string{"{}:", "{tokens}:", "{", "}", ""} {
		store := redisstore.New(cluster, redisstore.WithPrefix(prefix))
		swap(t, store, "name", "", "value", "value")
		wantValue(t, store, "name", "value")
		swap(t, store, "name", "value", "", "")
		wantValue(t, store, "name", "")
	}
}

func TestNamesInRedisArePrefixAndName(t *testing.T) {
	client := newClient(t, redisserver.New(t).Addr)
	swap(t, redisstore.New(client), "name", "", "one", "one")
	swap(t, redisstore.New(client, redisstore.Option{}), "name", "one", "two", "two")
	other := redisstore.New(client, redisstore.WithPrefix("reports:"))
	swap(t, other, "name", "", "three", "three")
	want := []string{"lookerauth:name", "reports:name"}
	if got := names(t, client); !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}

func TestValueExpires(t *testing.T) {
	client := newClient(t, redisserver.New(t).Addr)
	store := redisstore.New(client)
	for i, ttl := range []time.Duration{time.Hour, 300 * 24 * time.Hour, time.Minute} {
		old, next := fmt.Sprint("value ", i), fmt.Sprint("value ", i+1)
		if i == 0 {
			old = ""
		}
		_, err := store.CompareAndSwap(t.Context(), "name", []byte(old), []byte(next), ttl)
		check(t, err)
		left, err := client.PTTL(t.Context(), "lookerauth:name").Result()
		if err != nil || left > ttl || left < ttl-time.Minute {
			t.Errorf("stored for %v, and %v are left, %v", ttl, left, err)
		}
	}
}

func TestTTLIsRoundedUpToMilliseconds(t *testing.T) {
	for ttl, want := range map[time.Duration]int64{
		time.Hour:                          3_600_000,
		time.Millisecond:                   1,
		time.Millisecond + 1:               2,
		1500 * time.Microsecond:            2,
		1:                                  1,
		0:                                  1,
		-time.Hour:                         1,
		math.MinInt64:                      1,
		math.MaxInt64:                      math.MaxInt64/1_000_000 + 1,
		time.Second - 1:                    1000,
		time.Second + time.Millisecond - 1: 1001,
	} {
		var got any
		store := newStore(t, nowhere, hook(func(_ context.Context, cmd redis.Cmder) error {
			got = cmd.Args()[len(cmd.Args())-1]
			cmd.(*redis.Cmd).SetVal("value")
			return nil
		}))
		_, err := store.CompareAndSwap(t.Context(), "name", nil, []byte("value"), ttl)
		if got != want || err != nil {
			t.Errorf("a ttl of %v: %v ms, %v, want %d", ttl, got, err, want)
		}
	}
}

// What is under a name is none if a Store cannot have written it. A swap replaces it.
func TestValueThatIsTooLongIsRefused(t *testing.T) {
	store := newStore(t, redisserver.New(t).Addr)
	long := []byte(strings.Repeat("x", 8<<10+1))
	if _, err := store.CompareAndSwap(t.Context(), "name", nil, long, time.Hour); err == nil {
		t.Error("no error")
	}
	wantValue(t, store, "name", "")
}

func TestForeignValueIsNoneAndIsReplaced(t *testing.T) {
	client := newClient(t, redisserver.New(t).Addr)
	store := redisstore.New(client)
	long := strings.Repeat("x", 8<<10+1)
	for kind, command := range map[string][]any{
		"hash":         {"HSET", "lookerauth:name", "field", "value"},
		"list":         {"RPUSH", "lookerauth:name", "value"},
		"set":          {"SADD", "lookerauth:name", "value"},
		"sorted set":   {"ZADD", "lookerauth:name", "1", "value"},
		"stream":       {"XADD", "lookerauth:name", "*", "field", "value"},
		"empty string": {"SET", "lookerauth:name", ""},
		"long string":  {"SET", "lookerauth:name", long},
		"huge string":  {"SETRANGE", "lookerauth:name", 64 << 20, "x"},
	} {
		for _, next := range []string{"value", ""} {
			t.Run(fmt.Sprintf("%s for %q", kind, next), func(t *testing.T) {
				check(t, client.Do(t.Context(), command...).Err())
				wantValue(t, store, "name", "")
				swap(t, store, "name", "other", "another", "")
				swap(t, store, "name", long, "another", "")
				swap(t, store, "name", long[1:], "another", "")
				wantValue(t, store, "name", "")
				swap(t, store, "name", "", next, next)
				wantValue(t, store, "name", next)
				swap(t, store, "name", next, "", "")
				if got := names(t, client); len(got) != 0 {
					t.Errorf("names %q are left", got)
				}
			})
		}
	}
}

// A client sends again what was not answered. The second answer is that to the first.
func TestSwapThatTheClientSendsTwiceIsOne(t *testing.T) {
	client := newClient(t, redisserver.New(t).Addr)
	client.AddHook(twice{})
	store := redisstore.New(client)
	swap(t, store, "name", "", "one", "one")
	swap(t, store, "name", "one", "two", "two")
	swap(t, store, "name", "one", "three", "two")
	wantValue(t, store, "name", "two")
	swap(t, store, "name", "two", "", "")
	wantValue(t, store, "name", "")
}

// twice is a hook that sends each command twice, and loses the first answer.
type twice struct{ hook }

func (twice) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		_ = next(ctx, cmd)
		return next(ctx, cmd)
	}
}

func TestServerThatForgotTheScriptGetsItAgain(t *testing.T) {
	client := newClient(t, redisserver.New(t).Addr)
	store := redisstore.New(client)
	swap(t, store, "name", "", "one", "one")
	check(t, client.ScriptFlush(t.Context()).Err())
	swap(t, store, "name", "one", "two", "two")
}

func TestRestartedServerIsUsedAgain(t *testing.T) {
	server := redisserver.New(t)
	store := newStore(t, server.Addr)
	swap(t, store, "name", "", "one", "one")
	server.Stop()
	if _, err := store.Get(t.Context(), "name"); err == nil {
		t.Error("a dead server: no error")
	}
	check(t, server.Restart())
	wantValue(t, store, "name", "")
	swap(t, store, "name", "one", "two", "")
	swap(t, store, "name", "", "two", "two")
}
