//go:build unix

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
	"github.com/lookerauth/lookerauth/redisstore"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

const (
	processes = 4
	users     = 25
	guard     = time.Minute // for what should happen soon
)

var storeKeys = [][]byte{[]byte("a key that is made of 32 letters")}

// quiet is a logger.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// TestMain silences the proxy, and the clients of servers that are gone. In a process that a test
// has started, it does what that says.
func TestMain(m *testing.M) {
	zerolog.SetGlobalLevel(zerolog.Disabled)
	redis.SetLogger(quiet{})
	worked()
	m.Run()
}

// clock is the real one, some time ahead; or stands still, but for pauses between looks at what
// another process does. Then no answer comes too late by it, however slow the machine is.
type clock struct {
	ahead  atomic.Int64
	stands bool
	start  time.Time
}

func (c *clock) Now() time.Time {
	now := c.start
	if !c.stands {
		now = time.Now()
	}
	return now.Add(time.Duration(c.ahead.Load()))
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	const longestPause = 480 * time.Millisecond // 320 ms, give or take a half
	if c.stands && d > longestPause {
		return nil
	}
	return time.After(d)
}

// fleet is processes that reach Redis, be it through a proxy.
type fleet struct {
	t         *testing.T
	clock     *clock
	looker    *lookertest.Server
	proxy     *toxiproxy.Proxy
	processes []process
}

type process struct {
	*lookerauth.Cache
	*http.Client
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newFleet makes a fleet whose clients are made by newClient.
func newFleet(
	t *testing.T, c *clock, newClient func() redis.UniversalClient, opts ...redisstore.Option,
) *fleet {
	t.Helper()
	f := &fleet{t: t, clock: c, looker: lookertest.New(t, lookertest.WithClock(c))}
	for range processes {
		client := newClient()
		t.Cleanup(func() { client.Close() })
		cfg := f.looker.Config()
		cfg.Store, cfg.StoreKeys = redisstore.New(client, opts...), storeKeys
		cache, err := lookerauth.New(cfg)
		check(t, err)
		t.Cleanup(func() { _ = cache.Close(context.Background()) })
		p := process{cache, &http.Client{Transport: cache.Transport(nil)}}
		f.processes = append(f.processes, p)
	}
	return f
}

// newProxiedFleet makes one that reaches a server through a proxy.
func newProxiedFleet(t *testing.T, c *clock) *fleet {
	t.Helper()
	proxy := newProxy(t, redisserver.New(t).Addr)
	f := newFleet(t, c, func() redis.UniversalClient {
		return redis.NewClient(&redis.Options{Addr: proxy.Listen, ReadTimeout: guard})
	})
	f.proxy = proxy
	return f
}

func newProxy(t *testing.T, addr string) *toxiproxy.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "redis", "127.0.0.1:0", addr)
	check(t, proxy.Start())
	t.Cleanup(proxy.Stop)
	return proxy
}

// spoil has a proxy do this to all connections, in both directions.
func spoil(t *testing.T, proxy *toxiproxy.Proxy, toxic string) {
	t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"stream": %q, %s}`, stream, toxic)
		_, err := proxy.Toxics.AddToxicJson(strings.NewReader(text))
		check(t, err)
	}
}

// request fails the test unless a request as the user is answered as that user.
func (f *fleet) request(p process, userID string) {
	f.t.Helper()
	ctx := lookerauth.WithUser(f.t.Context(), userID)
	url := f.looker.URL + "/api/4.0/user"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		f.t.Error(err)
		return
	}
	resp, err := p.Do(req)
	if err != nil {
		f.t.Error(err)
		return
	}
	defer resp.Body.Close()
	var me struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&me); err != nil || me.ID != userID {
		f.t.Errorf("a request as user %s was answered %s as %q, %v",
			userID, resp.Status, me.ID, err)
	}
}

// requestAll has all processes make requests as users with this name at once, and returns how often
// one of these was logged in for that.
func (f *fleet) requestAll(name string) (logins int) {
	f.t.Helper()
	before := f.looker.Count(lookertest.OpLoginUser, "")
	var all sync.WaitGroup
	for _, p := range f.processes {
		for i := range users {
			all.Go(func() { f.request(p, fmt.Sprintf("%s-%d", name, i)) })
		}
	}
	all.Wait()
	return f.looker.Count(lookertest.OpLoginUser, "") - before
}

// errors returns how many calls of the Store failed.
func (f *fleet) errors() (n uint64) {
	for _, p := range f.processes {
		n += p.Stats().StoreErrors
	}
	return n
}

// awaitSharing waits until one process finds in Redis what another one has put there.
func (f *fleet) awaitSharing() {
	f.t.Helper()
	one, other := f.processes[0], f.processes[1]
	hits := other.Stats().StoreHits
	end := time.Now().Add(guard)
	for i := 0; time.Now().Before(end); i++ {
		f.clock.ahead.Add(int64(10 * time.Second)) // for so long Redis is left alone
		userID := fmt.Sprint("after-", i)
		f.request(one, userID)
		f.request(other, userID)
		if other.Stats().StoreHits > hits {
			return
		}
	}
	f.t.Error("Redis is not used again")
}

// Nothing is lost, but it takes its time: each user is logged in once.
func TestSlowConnectionsCostNoLogin(t *testing.T) {
	for name, toxic := range map[string]string{
		"latency":   `"type": "latency", "attributes": {"latency": 20, "jitter": 10}`,
		"bandwidth": `"type": "bandwidth", "attributes": {"rate": 20}`,
		"slices":    `"type": "slicer", "attributes": {"average_size": 20, "size_variation": 10}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newProxiedFleet(t, &clock{stands: true, start: time.Now()})
			f.requestAll("before")
			spoil(t, f.proxy, toxic)
			if n := f.requestAll("during"); n != users {
				t.Errorf("%d logins of %d users", n, users)
			}
		})
	}
}

// What was sent may be lost: each process logs each user in once at most, as without a Store. No
// request fails, and afterwards Redis is used again.
func TestBrokenConnectionsFailNoRequest(t *testing.T) {
	for name, toxic := range map[string]string{
		"resets":    `"type": "reset_peer", "attributes": {"timeout": 5}`,
		"half-open": `"type": "timeout", "attributes": {"timeout": 0}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newProxiedFleet(t, new(clock))
			f.requestAll("before")
			spoil(t, f.proxy, toxic)
			n := f.requestAll("during")
			if n < users || n > users*processes {
				t.Errorf("%d logins of %d users in %d processes", n, users, processes)
			}
			if f.errors() == 0 {
				t.Error("nobody noticed")
			}
			f.proxy.Toxics.ResetToxics(t.Context())
			f.awaitSharing()
		})
	}
}
