//go:build unix

package redisstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
	"github.com/lookerauth/lookerauth/redisstore"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

// fleet is what several processes have in common.
type fleet struct {
	t      *testing.T
	redis  *redisserver.Server
	looker *lookertest.Server
	keys   [][]byte
}

// slowClock is one that stands still, but for pauses between looks at what another process does.
// No answer comes too late by it, however slow the machine is.
type slowClock struct{ *clock.Mock }

func newSlowClock() slowClock { return slowClock{clock.NewMock()} }

// After is after d if that is a pause, and when somebody moves the clock if it is a timeout.
func (c slowClock) After(d time.Duration) <-chan time.Time {
	const longestPause = 480 * time.Millisecond // 320 ms, give or take a half
	if d <= longestPause {
		return time.After(d)
	}
	return c.Mock.After(d)
}

// newFleet makes a fleet that lives by this clock.
func newFleet(t *testing.T, clock lookerauth.Clock) *fleet {
	t.Helper()
	looker := lookertest.New(t, lookertest.WithClock(clock))
	keys := [][]byte{[]byte("a key that is made of 32 letters")}
	return &fleet{t, redisserver.New(t), looker, keys}
}

// process is a Cache as a process of the fleet has it, with a client of its own.
type process struct {
	*lookerauth.Cache
	fleet  *fleet
	client *http.Client
}

func (f *fleet) newProcess() process {
	f.t.Helper()
	cfg := f.looker.Config()
	cfg.Store, cfg.StoreKeys = newStore(f.t, f.redis.Addr), f.keys
	cache, err := lookerauth.New(cfg)
	check(f.t, err)
	f.t.Cleanup(func() { _ = cache.Close(context.Background()) })
	return process{cache, f, &http.Client{Transport: cache.Transport(nil)}}
}

// request fails the test unless a request as the user is answered as that user.
func (p process) request(userID string) {
	t := p.fleet.t
	t.Helper()
	ctx := lookerauth.WithUser(t.Context(), userID)
	url := p.fleet.looker.URL + "/api/4.0/user"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := p.client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	var me struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&me); err != nil || me.ID != userID {
		t.Errorf("a request as user %s was answered %s as user %q, %v",
			userID, resp.Status, me.ID, err)
	}
}

func (p process) requestAll(userIDs []string) {
	p.fleet.t.Helper()
	for _, userID := range userIDs {
		p.request(userID)
	}
}

// users returns n user ids, which begin with name.
func users(name string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d", name, i)
	}
	return ids
}

// logins returns how many calls logged anybody in so far.
func (f *fleet) logins() int {
	return f.looker.Count(lookertest.OpLogin, "") + f.looker.Count(lookertest.OpLoginUser, "")
}

// wantLogins fails the test if there were more or fewer.
func (f *fleet) wantLogins(want int) {
	f.t.Helper()
	if got := f.logins(); got != want {
		f.t.Errorf("%d logins, want %d", got, want)
	}
}

// stored returns all that is in Redis, by name.
func (f *fleet) stored() map[string]string {
	f.t.Helper()
	client := newClient(f.t, f.redis.Addr)
	values := make(map[string]string)
	for _, name := range names(f.t, client) {
		value, err := client.Get(f.t.Context(), name).Result()
		check(f.t, err)
		values[name] = value
	}
	return values
}

// The two lines are the README's.
func TestTwoLinesOfConfigurationShareTokens(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: redisserver.New(t).Addr})
	defer client.Close()
	looker := lookertest.New(t)
	key := []byte("a key that is made of 32 letters")
	for range 2 {
		cfg := looker.Config()
		cfg.Store = redisstore.New(client)
		cfg.StoreKeys = [][]byte{key}
		cache, err := lookerauth.New(cfg)
		check(t, err)
		_, err = cache.User("789").Token()
		check(t, err)
		check(t, cache.Close(t.Context()))
	}
	if n := looker.Count(lookertest.OpLoginUser, ""); n != 1 {
		t.Errorf("%d logins of the user, want 1", n)
	}
}

func TestProcessesLogEachUserInOnce(t *testing.T) {
	f := newFleet(t, newSlowClock())
	ids := users("user", 50)
	var all sync.WaitGroup
	for range 8 {
		p := f.newProcess()
		for _, id := range ids {
			all.Go(func() { p.request(id) })
		}
	}
	all.Wait()
	f.wantLogins(51)
}

func TestRestartedProcessMakesNoLogin(t *testing.T) {
	f := newFleet(t, newSlowClock())
	ids := users("user", 10)
	first := f.newProcess()
	first.requestAll(ids)
	check(t, first.Close(t.Context()))
	second := f.newProcess()
	second.requestAll(ids)
	f.wantLogins(11)
	if n := second.Stats().StoreHits; n != 11 {
		t.Errorf("%d tokens came from the store, want those of 10 users and the service account", n)
	}
}

func TestRevokedTokenIsReplacedOnceForAllProcesses(t *testing.T) {
	now := newSlowClock()
	f := newFleet(t, now)
	var all sync.WaitGroup
	var processes []process
	for range 4 {
		p := f.newProcess()
		p.request("789")
		processes = append(processes, p)
	}
	now.Add(time.Second)
	f.looker.Revoke("789")
	for _, p := range processes {
		for range 10 {
			all.Go(func() { p.request("789") })
		}
	}
	all.Wait()
	f.wantLogins(3) // the service account, the user, and the user again
}

func TestNothingInRedisTellsASecret(t *testing.T) {
	f := newFleet(t, newSlowClock())
	p := f.newProcess()
	ids := users("customer", 10)
	p.requestAll(ids)
	cfg := f.looker.Config()
	secrets := append(ids, cfg.ClientID, cfg.ClientSecret, string(f.keys[0]), cfg.BaseURL)
	sources := []*lookerauth.TokenSource{p.ServiceAccount()}
	for _, id := range ids {
		sources = append(sources, p.User(id))
	}
	for _, source := range sources {
		token, err := source.Token()
		check(t, err)
		secrets = append(secrets, token.AccessToken)
	}
	stored := f.stored()
	if len(stored) != 11 {
		t.Errorf("%d names are stored, want 11", len(stored))
	}
	for name, value := range stored {
		for _, secret := range secrets {
			if strings.Contains(name+"\n"+value, secret) {
				t.Errorf("%q tells %q: %q", name, secret, value)
			}
		}
	}
}

func TestSwappedValuesNeverSwapUsers(t *testing.T) {
	f := newFleet(t, newSlowClock())
	ids := users("user", 10)
	f.newProcess().requestAll(ids)
	stored := f.stored()
	var inOrder []string
	for name := range stored {
		inOrder = append(inOrder, name)
	}
	client := newClient(t, f.redis.Addr)
	for i, name := range inOrder {
		next := inOrder[(i+1)%len(inOrder)]
		check(t, client.Set(t.Context(), name, stored[next], time.Hour).Err())
	}
	p := f.newProcess()
	p.requestAll(ids)
	if n := p.Stats().StoreHits; n != 0 {
		t.Errorf("%d swapped tokens were used", n)
	}
	f.wantLogins(2 * 11)
}

func TestProcessWithAnotherKeyReadsNothingAndWorks(t *testing.T) {
	f := newFleet(t, newSlowClock())
	ids := users("user", 10)
	f.newProcess().requestAll(ids)
	f.keys = [][]byte{[]byte("another key, also of 32 letters.")}
	p := f.newProcess()
	p.requestAll(ids)
	if n := p.Stats().StoreHits; n != 0 {
		t.Errorf("%d tokens were read", n)
	}
	f.wantLogins(2 * 11)
}

// shiftedClock is the real one, some time ahead.
type shiftedClock struct{ ahead atomic.Int64 }

func (c *shiftedClock) Now() time.Time {
	return time.Now().Add(time.Duration(c.ahead.Load()))
}

func (c *shiftedClock) After(d time.Duration) <-chan time.Time { return time.After(d) }
func (c *shiftedClock) shift(d time.Duration)                  { c.ahead.Add(int64(d)) }

func TestEveryRequestSucceedsWithoutRedis(t *testing.T) {
	stop := func(s *redisserver.Server) error { s.Stop(); return nil }
	outages := map[string]struct {
		begin, end func(*redisserver.Server) error
	}{
		"killed": {stop, (*redisserver.Server).Restart},
		"paused": {(*redisserver.Server).Pause, (*redisserver.Server).Resume},
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			var ahead shiftedClock
			f := newFleet(t, &ahead)
			one, other := f.newProcess(), f.newProcess()
			one.requestAll(users("before", 5))
			other.requestAll(users("before", 5))

			var all sync.WaitGroup
			var requests atomic.Int32
			for _, p := range []process{one, other} {
				for _, id := range slices.Concat(users("before", 5), users("during", 45)) {
					all.Go(func() {
						if requests.Add(1) == 50 {
							if err := outage.begin(f.redis); err != nil {
								t.Error(err)
							}
						}
						p.request(id)
					})
				}
			}
			all.Wait()
			if one.Stats().StoreErrors+other.Stats().StoreErrors == 0 {
				t.Error("nobody noticed the outage")
			}

			check(t, outage.end(f.redis))
			awaitSharing(t, &ahead, one, other)
		})
	}
}

// awaitSharing waits until one process finds in the store what the other one put there, after an
// outage.
func awaitSharing(t *testing.T, clock *shiftedClock, one, other process) {
	t.Helper()
	hits := other.Stats().StoreHits
	end := time.Now().Add(guard)
	for i := 0; time.Now().Before(end); i++ {
		clock.shift(10 * time.Second) // for so long the store was left alone
		userID := fmt.Sprint("after-", i)
		one.request(userID)
		other.request(userID)
		if other.Stats().StoreHits > hits {
			return
		}
	}
	t.Error("the store was not used again")
}
