package lookerauth_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// memoryStore is a Store within one process, which can be made to fail.
type memoryStore struct {
	mu     sync.Mutex // guards what is below
	values map[string]stored
	locks  map[string]chan struct{} // full while locked
	fail   func(op string) error    // nil: nothing fails; called without mu
	calls  map[string]int
}

type stored struct {
	value  []byte
	expiry time.Time
}

func newMemoryStore() *memoryStore {
	return &memoryStore{values: make(map[string]stored), locks: make(map[string]chan struct{}), calls: make(map[string]int)}
}

// meet counts the call, and lets it meet what was planned.
func (m *memoryStore) meet(op string) error {
	m.mu.Lock()
	m.calls[op]++
	fail := m.fail
	m.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(op)
}

func (m *memoryStore) setFail(fail func(op string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *memoryStore) Get(_ context.Context, key string) ([]byte, error) {
	if err := m.meet("Get"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.values[key]
	if !ok || !time.Now().Before(s.expiry) {
		return nil, fmt.Errorf("memory: %w", lookerauth.ErrNotStored)
	}
	return s.value, nil
}

func (m *memoryStore) Put(_ context.Context, key string, value []byte, ttl time.Duration) error {
	if err := m.meet("Put"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = stored{value, time.Now().Add(ttl)}
	return nil
}

func (m *memoryStore) Delete(_ context.Context, key string, value []byte) error {
	if err := m.meet("Delete"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if bytes.Equal(m.values[key].value, value) {
		delete(m.values, key)
	}
	return nil
}

func (m *memoryStore) Lock(ctx context.Context, key string) (func(), error) {
	if err := m.meet("Lock"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	lock := m.locks[key]
	if lock == nil {
		lock = make(chan struct{}, 1)
		m.locks[key] = lock
	}
	m.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { _ = m.meet("unlock"); <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *memoryStore) callsOf(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}

// names are the keys that have a value, in order.
func (m *memoryStore) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.values))
}

// garble makes all values ones that do not open.
func (m *memoryStore) garble() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.values {
		m.values[name] = stored{nil, time.Now().Add(time.Hour)}
	}
}

// swap exchanges the values of two keys.
func (m *memoryStore) swap(a, b string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[a], m.values[b] = m.values[b], m.values[a]
}

var oneKey = bytes.Repeat([]byte{1}, 32)

// withStore makes the Cache one of a fleet.
func withStore(store lookerauth.Store, keys ...[]byte) func(*lookerauth.Config) {
	if keys == nil {
		keys = [][]byte{oneKey}
	}
	return func(cfg *lookerauth.Config) { cfg.Store, cfg.StoreKeys = store, keys }
}

func TestFleetLogsEachUserInOnce(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const processes, users = 8, 20
		store := newMemoryStore()
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: 300 * time.Millisecond})
		looker.Fail(lookertest.Login, -1, lookertest.Fault{Delay: 300 * time.Millisecond})
		var hits uint64
		var caches []*lookerauth.Cache
		var wg sync.WaitGroup
		for range processes {
			cache := newCache(t, looker, withStore(store))
			caches = append(caches, cache)
			for i := range users {
				wg.Go(func() { accessToken(t, cache.User(fmt.Sprint(i))) })
			}
		}
		wg.Wait()
		checkCalls(t, looker, 1, users)
		for _, cache := range caches {
			hits += cache.Stats().StoreHits
		}
		if want := uint64((processes - 1) * users); hits < want {
			t.Errorf("%d tokens came from the store, want %d of users", hits, want)
		}

		// A process that starts now makes no login, not even the service account's.
		late := newCache(t, looker, withStore(store))
		for i := range users {
			accessToken(t, late.User(fmt.Sprint(i)))
		}
		checkCalls(t, looker, 1, users)
	})
}

func TestFirstToRefreshServesTheFleet(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		var sources []*lookerauth.TokenSource
		for range 5 {
			source := newCache(t, looker, withStore(store)).ServiceAccount()
			sources = append(sources, source)
			accessToken(t, source)
		}
		time.Sleep(58 * time.Minute)
		for _, source := range sources {
			accessToken(t, source) // aging: served, and refreshed in the background
		}
		synctest.Wait()
		checkCalls(t, looker, 2, 0)
		first := accessToken(t, sources[0])
		for _, source := range sources {
			if accessToken(t, source) != first {
				t.Error("two tokens in one fleet")
			}
		}
	})
}

func TestTokenIsRefreshedBySomebodyOrExpires(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one := newCache(t, looker, withStore(store)).ServiceAccount()
		first := accessToken(t, one)
		time.Sleep(59*time.Minute + 55*time.Second) // not usable any more, but stored for five seconds yet
		other := newCache(t, looker, withStore(store)).ServiceAccount()
		if accessToken(t, other) == first {
			t.Error("a token that expires in 5 s was taken from the store")
		}
		if n := len(store.names()); n != 1 {
			t.Errorf("%d values in the store, want 1", n)
		}
	})
}

func TestRejectedTokenIsReplacedOnceForTheFleet(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: 300 * time.Millisecond})
		var clients []*http.Client
		for range 4 {
			user := newCache(t, looker, withStore(store)).User("789")
			accessToken(t, user)
			clients = append(clients, user.Client())
		}
		time.Sleep(time.Minute)
		looker.Revoke("789")
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				if got := whoAnswered(t, t.Context(), clients[i%4], looker.URL+"/api/4.0/looks"); got != "789" {
					t.Errorf("answered as %q", got)
				}
			})
		}
		wg.Wait()
		checkCalls(t, looker, 1, 2)
	})
}

func TestRejectedTokenLeavesTheStoreBeforeItsSuccessorIsThere(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user := newCache(t, looker, withStore(store)).User("789")
		user.Invalidate(must(user.Token()))
		looker.Fail(lookertest.LoginUser, 1, lookertest.Fault{Status: 403})
		if _, err := user.Token(); !errors.Is(err, lookerauth.ErrForbidden) {
			t.Errorf("got %v", err)
		}
		if n := len(store.names()); n != 1 { // the service account's
			t.Errorf("%d values in the store, want 1", n)
		}
	})
}

// Another process has replaced the token before, and then the replacement dies, too.
func TestDeadReplacementFromTheStoreIsReplacedToo(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one, other := newCache(t, looker, withStore(store)), newCache(t, looker, withStore(store))
		sources := []func(*lookerauth.Cache) *lookerauth.TokenSource{
			(*lookerauth.Cache).ServiceAccount, func(cache *lookerauth.Cache) *lookerauth.TokenSource { return cache.User("789") },
		}
		for _, source := range sources {
			accessToken(t, source(one))
			accessToken(t, source(other))
			time.Sleep(time.Minute)
			source(one).Invalidate(must(source(one).Token()))
			accessToken(t, source(one))
		}
		time.Sleep(time.Minute)
		looker.RevokeAll()
		for range 5 {
			if got := whoAnswered(t, t.Context(), other.User("789").Client(), looker.URL+"/api/4.0/looks"); got != "789" {
				t.Errorf("answered as %q", got)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

func TestReplacementByAClockThatIsBehindIsTaken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, behind := newMemoryStore(), &steppedClock{}
		behind.step(-time.Minute)
		users := []*lookerauth.TokenSource{
			newCache(t, looker, withStore(store)).User("789"),
			newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) { cfg.Clock = behind }).User("789"),
		}
		accessToken(t, users[0])
		accessToken(t, users[1])
		time.Sleep(10 * time.Second)
		looker.Revoke("789")
		whoAnswered(t, t.Context(), users[1].Client(), looker.URL+"/api/4.0/looks")
		whoAnswered(t, t.Context(), users[0].Client(), looker.URL+"/api/4.0/looks")
		checkCalls(t, looker, 1, 2)
	})
}

func TestRejectedTokenIsNotTakenAgain(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, withStore(newMemoryStore()), maxUsers(1))
		user := cache.User("789")
		first := must(user.Token())
		user.Invalidate(first)
		accessToken(t, cache.User("2")) // evicts the rejected token
		synctest.Wait()
		if accessToken(t, user) == first.AccessToken {
			t.Error("the rejected token is back")
		}
	})
}

// One process is answered 401 where everybody is: that is no reason to kill the token which the others have from the Store.
func TestEndpointThatAlwaysAnswers401HarmsNoOtherProcess(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		var clients []*http.Client
		for range 3 {
			clients = append(clients, newCache(t, looker, withStore(store), maxUsers(1), func(cfg *lookerauth.Config) {
				cfg.Transport = forbid(cfg.Transport, "/api/4.0/forbidden")
			}).User("789").Client())
		}
		for range 60 {
			for i, client := range clients {
				whoAnswered(t, t.Context(), client, looker.URL+"/api/4.0/looks")
				resp, err := client.Get(looker.URL + "/api/4.0/forbidden")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				synctest.Wait()
				if resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("process %d: %s", i, resp.Status)
				}
			}
			time.Sleep(time.Second)
		}
		if n := looker.Calls(lookertest.LoginUser); n > 1+3*7 {
			t.Errorf("%d logins in a minute, want one in 10 s for each process at most", n)
		}
	})
}

// forbid answers 401 to requests for this path.
func forbid(base http.RoundTripper, path string) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.URL.Path == path {
			return respond(http.StatusUnauthorized, nil, ""), nil
		}
		return base.RoundTrip(req)
	})
}

// slowPut is a memoryStore whose Put takes effect long before it answers.
type slowPut struct{ *memoryStore }

func (s slowPut) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	err := s.memoryStore.Put(ctx, key, value, ttl)
	time.Sleep(100 * time.Millisecond)
	return err
}

func TestCloseLeavesATokenToTheOthersThatWasSharedAMomentAgo(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one, other := newCache(t, looker, withStore(slowPut{store})), newCache(t, looker, withStore(store))
		go func() { _, _ = one.ServiceAccount().Token() }()
		time.Sleep(50 * time.Millisecond) // it is in the store, and the login not yet at its end
		accessToken(t, other.ServiceAccount())
		if err := one.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if calls, names := looker.Calls(lookertest.Logout), store.names(); calls != 0 || len(names) != 1 {
			t.Errorf("%d logouts, %d values in the store; want none, and one", calls, len(names))
		}
	})
}

// logOf makes the Cache log into the buffer.
func logOf(log *bytes.Buffer) func(*lookerauth.Config) {
	return func(cfg *lookerauth.Config) { cfg.Logger = slog.New(slog.NewTextHandler(log, nil)) }
}

func TestStoreThatCannotBeWrittenIsLoggedOnce(t *testing.T) {
	for name, fails := range map[string]func(store *memoryStore, op string) bool{
		"read only":        func(_ *memoryStore, op string) bool { return op != "Get" },
		"hardly read, too": func(store *memoryStore, op string) bool { return op == "Put" || store.callsOf("Get")%3 == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				store.setFail(func(op string) error {
					if fails(store, op) {
						return errors.New("READONLY")
					}
					return nil
				})
				var log bytes.Buffer
				cache := newCache(t, looker, withStore(store), logOf(&log))
				for i := range 20 {
					accessToken(t, cache.User(fmt.Sprint(i)))
					time.Sleep(10 * time.Second)
				}
				if n := strings.Count(log.String(), "store failed"); n != 1 || strings.Contains(log.String(), "works again") {
					t.Errorf("logged:\n%s", log.String())
				}
			})
		})
	}
}

// Delete is called only after a rejection, so it is not waited for before an outage is one again.
func TestOutageIsLoggedAfterADeleteThatFailed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		var log bytes.Buffer
		cache := newCache(t, looker, withStore(store), logOf(&log))
		user := cache.User("789")
		user.Invalidate(must(user.Token()))
		store.setFail(func(op string) error {
			if op == "Delete" {
				return errors.New("a moment's failure")
			}
			return nil
		})
		accessToken(t, user)
		synctest.Wait()
		store.setFail(nil)
		time.Sleep(5 * time.Second)
		accessToken(t, cache.User("790"))
		if failed, works := strings.Count(log.String(), "store failed"), strings.Count(log.String(), "works again"); failed != 1 || works != 1 {
			t.Errorf("logged:\n%s", log.String())
		}
		store.setFail(func(string) error { return errors.New("down") })
		accessToken(t, cache.User("791"))
		if n := strings.Count(log.String(), "store failed"); n != 2 {
			t.Errorf("logged:\n%s", log.String())
		}
	})
}

func TestStoreIsLeftAloneAfterEveryError(t *testing.T) {
	for _, op := range []string{"Get", "Lock", "Put"} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			store := newMemoryStore()
			calls := func() int { return store.callsOf("Get") + store.callsOf("Lock") + store.callsOf("Put") }
			cache := newCache(t, looker, withStore(store))
			accessToken(t, cache.ServiceAccount())
			store.setFail(func(called string) error {
				if called == op {
					return errors.New("connection refused")
				}
				return nil
			})
			for i := range 3 {
				accessToken(t, cache.User(fmt.Sprint(i)))
				synctest.Wait()
				before := calls()
				time.Sleep(5*time.Second - time.Nanosecond)
				accessToken(t, cache.User(fmt.Sprint(100+i)))
				if calls() != before {
					t.Errorf("%s failed, and less than 5 seconds later the store was called", op)
				}
				time.Sleep(time.Nanosecond)
			}
			if n := cache.Stats().StoreErrors; n != 3 {
				t.Errorf("%s: %d errors were counted, want 3", op, n)
			}
		})
	}
}

func TestStoreIsNotToBlameForACallThatCloseCutShort(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, withStore(hungGet{newMemoryStore()}))
		go func() { _, _ = cache.User("789").Token() }()
		synctest.Wait()
		if err := cache.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := cache.Stats().StoreErrors; n != 0 {
			t.Errorf("%d errors were counted", n)
		}
	})
}

// hungGet is a memoryStore that does not answer.
type hungGet struct{ *memoryStore }

func (hungGet) Get(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestTokenThatExpiredBeforeItCouldBeStoredIsNot(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		looker.SetTokenLife(time.Second)
		cache := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(context.Context, string, *http.Client) error { time.Sleep(2 * time.Second); return nil }
		})
		_, _ = cache.ServiceAccount().Token()
		if n := store.callsOf("Put"); n != 0 {
			t.Errorf("%d values were put with a time to live that is over", n)
		}
	})
}

func TestStoreIsUsedAfterTheClockWasSetBack(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, clock := newMemoryStore(), &steppedClock{}
		cache := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) { cfg.Clock = clock })
		store.setFail(func(string) error { return errors.New("connection refused") })
		accessToken(t, cache.ServiceAccount())
		store.setFail(nil)
		clock.step(-5 * time.Hour)
		accessToken(t, cache.User("789"))
		if len(store.names()) == 0 {
			t.Error("it is left alone for hours")
		}
	})
}

// hungLock is a memoryStore whose locks nobody gets.
type hungLock struct{ *memoryStore }

func (hungLock) Lock(ctx context.Context, _ string) (func(), error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestLocksThatNobodyGetsAreLoggedOnce(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log bytes.Buffer
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(hungLock{store}), logOf(&log))
		for i := range 5 {
			accessToken(t, cache.User(fmt.Sprint(i)))
		}
		if n := strings.Count(log.String(), "another process takes long"); n != 1 || strings.Contains(log.String(), "works again") {
			t.Errorf("logged:\n%s", log.String())
		}
		if n := len(store.names()); n != 6 {
			t.Errorf("%d values in the store, want it used all the same", n)
		}
	})
}

// Until Looker has let the new key in, the users' tokens come from the old one's account.
func TestNoTokenOfTheOldKeyIsStoredUnderTheNewOne(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, key := newMemoryStore(), looker.Config()
		clientID := key.ClientID
		cache := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) {
			cfg.Credentials = func(context.Context) (string, string, error) { return clientID, key.ClientSecret, nil }
		})
		accessToken(t, cache.ServiceAccount())
		time.Sleep(58 * time.Minute)
		clientID = "new"
		accessToken(t, cache.ServiceAccount()) // its refresh fails
		synctest.Wait()
		accessToken(t, cache.User("789"))

		looker.SetKey("new", key.ClientSecret)
		other := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) { cfg.ClientID = "new" })
		if accessToken(t, other.User("789")); other.Stats().StoreHits != 0 {
			t.Error("another account's token was taken from the store")
		}
	})
}

func TestStoredTokenIsTheOneThatWasMinted(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Delay: time.Second})
		minted := must(newCache(t, looker, withStore(store)).ServiceAccount().Token())
		time.Sleep(time.Minute)
		taken := must(newCache(t, looker, withStore(store)).ServiceAccount().Token())
		if taken.AccessToken != minted.AccessToken || !taken.Expiry.Equal(minted.Expiry) || taken.Extra("token_type") != minted.Extra("token_type") {
			t.Errorf("took %v, minted %v", taken, minted)
		}
		if expiry := store.values[store.names()[0]].expiry; !expiry.Equal(minted.Expiry) {
			t.Errorf("it is stored until %v, but expires at %v", expiry, minted.Expiry)
		}
	})
}

func TestStoreKeepsTheKeysOfDifferentAccountsApartDuringARotation(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, cfg, asked := newMemoryStore(), looker.Config(), 0
		rotated := newCache(t, looker, withStore(store), func(c *lookerauth.Config) {
			c.Credentials = func(context.Context) (string, string, error) {
				asked++
				if asked == 1 {
					return "old", "key", nil
				}
				return cfg.ClientID, cfg.ClientSecret, nil
			}
		})
		for _, userID := range []string{"1", "2", "3"} {
			accessToken(t, rotated.User(userID))
		}
		if asked != 2 {
			t.Errorf("asked for the key %d times, want once to look in the store and once to log in", asked)
		}
		old := newCache(t, looker, withStore(store), func(c *lookerauth.Config) { c.ClientID, c.ClientSecret = "old", "key" })
		if _, err := old.ServiceAccount().Token(); !errors.Is(err, lookerauth.ErrBadCredentials) {
			t.Errorf("the old account: %v", err)
		}
	})
}

func TestFailingCredentialsAreHeldDown(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		sealed, asked := errors.New("the vault is sealed"), 0
		cache := newCache(t, looker, withStore(newMemoryStore()), func(cfg *lookerauth.Config) {
			cfg.Credentials = func(context.Context) (string, string, error) { asked++; return "", "", sealed }
		})
		for i := range 20 {
			if _, err := cache.User(fmt.Sprint(i)).Token(); !errors.Is(err, sealed) {
				t.Errorf("got %v", err)
			}
		}
		if n := cache.Stats().FailedLogins; asked != 1 || n != 1 {
			t.Errorf("asked for the key %d times, %d failed logins; want the service account's one", asked, n)
		}
	})
}

// What is stored is older than what is held if the last Put failed.
func TestOlderStoredTokenIsNotTaken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		looker.SetTokenLife(24 * time.Hour)
		service := newCache(t, looker, withStore(store)).ServiceAccount()
		accessToken(t, service)
		store.setFail(func(op string) error {
			if op == "Put" {
				return errors.New("READONLY")
			}
			return nil
		})
		looker.SetTokenLife(time.Minute)
		for _, aging := range []time.Duration{23*time.Hour + 56*time.Minute, 45 * time.Second} { // the first token, the second
			time.Sleep(aging)
			accessToken(t, service)
			synctest.Wait()
		}
		checkCalls(t, looker, 3, 0)
	})
}

func TestHeldDownServiceAccountCostsTheStoreLittle(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user := newCache(t, looker, withStore(store)).User("789")
		looker.Fail(lookertest.Login, -1, lookertest.Fault{Status: 403})
		for range 100 {
			_, _ = user.Token()
		}
		if n := store.callsOf("Lock"); n != 1 {
			t.Errorf("%d locks, want the service account's", n)
		}
	})
}

func TestStoreHoldsNothingInTheClear(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store))
		cfg := looker.Config()
		secrets := []string{cfg.ClientID, cfg.ClientSecret, "user-789", accessToken(t, cache.User("user-789")), accessToken(t, cache.ServiceAccount())}
		if len(store.values) != 2 {
			t.Fatalf("%d values, want 2", len(store.values))
		}
		for name, s := range store.values {
			if len(name) > 64 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
				t.Errorf("the name %q has more than letters, digits, - and _", name)
			}
			for _, secret := range secrets {
				if strings.Contains(name, secret) || bytes.Contains(s.value, []byte(secret)) {
					t.Errorf("%q is in the name %q or its value", secret, name)
				}
			}
		}
	})
}

func TestSwappedValuesNeverSwapUsers(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one := newCache(t, looker, withStore(store))
		accessToken(t, one.User("1"))
		accessToken(t, one.User("2"))
		names := store.names() // of the service account and both users
		for _, pair := range [][2]int{{0, 1}, {0, 2}, {1, 2}} {
			store.swap(names[pair[0]], names[pair[1]])
			other := newCache(t, looker, withStore(store))
			for _, userID := range []string{"1", "2"} {
				if got := whoAnswered(t, t.Context(), other.User(userID).Client(), looker.URL+"/api/4.0/looks"); got != userID {
					t.Errorf("user %s was answered as %q", userID, got)
				}
			}
		}
	})
}

func TestForgedValueIsAMiss(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
		name := store.names()[0]
		genuine := store.values[name].value
		for i := range genuine {
			forged := bytes.Clone(genuine)
			forged[i] ^= 1
			store.values[name] = stored{forged, time.Now().Add(time.Hour)}
			cache := newCache(t, looker, withStore(store))
			if accessToken(t, cache.ServiceAccount()); cache.Stats().StoreHits != 0 {
				t.Errorf("the value was taken with byte %d changed", i)
			}
		}
		for _, forged := range [][]byte{nil, {}, genuine[:11], genuine[:len(genuine)-1]} {
			store.values[name] = stored{forged, time.Now().Add(time.Hour)}
			accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
		}
	})
}

// They open: something else in the fleet has the keys.
func TestValueThatHoldsNoTokenIsAMiss(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
		name := store.names()[0]
		aead := must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(oneKey))))
		now := time.Now().UnixNano()
		for _, text := range []string{
			"",
			"a token",
			fmt.Sprintf(`{"sent":%d,"life":3600000000000}`, now),
			fmt.Sprintf(`{"access_token":"two words","sent":%d,"life":3600000000000}`, now),
			fmt.Sprintf(`{"access_token":"forged","sent":%d,"life":0}`, now),
			fmt.Sprintf(`{"access_token":"forged","sent":%d,"life":-1}`, now),
			fmt.Sprintf(`{"access_token":"forged","sent":%d,"life":86400000000001}`, now), // a nanosecond more than a day
		} {
			store.values[name] = stored{aead.Seal(nil, nil, []byte(text), []byte(name)), time.Now().Add(time.Hour)}
			cache := newCache(t, looker, withStore(store))
			if accessToken(t, cache.ServiceAccount()); cache.Stats().StoreHits != 0 {
				t.Errorf("%s was taken for a token", text)
			}
		}
	})
}

func TestOtherStoreKeysReadNothingAndStillWork(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(store)).User("789"))
		var log bytes.Buffer
		cache := newCache(t, looker, withStore(store, bytes.Repeat([]byte{2}, 32)), logOf(&log))
		accessToken(t, cache.User("789"))
		checkCalls(t, looker, 2, 2)
		if n := strings.Count(log.String(), "does not open"); n != 1 || cache.Stats().StoreHits != 0 {
			t.Errorf("%d hits; logged %d times:\n%s", cache.Stats().StoreHits, n, log.String())
		}
	})
}

func TestStoreKeyIsReplacedWithoutALogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, another := newMemoryStore(), bytes.Repeat([]byte{2}, 32)
		for _, keys := range [][][]byte{{oneKey}, {oneKey, another}, {another, oneKey}} {
			cache := newCache(t, looker, withStore(store, keys...))
			accessToken(t, cache.User("789"))
			checkCalls(t, looker, 1, 1)
		}
		// With another one in front, that one seals.
		accessToken(t, newCache(t, looker, withStore(store, another, oneKey)).User("790"))
		accessToken(t, newCache(t, looker, withStore(store, another)).User("790"))
		if n := looker.CallsAs(lookertest.LoginUser, "790"); n != 1 {
			t.Errorf("%d logins of a user whose token was sealed with the first key, want 1", n)
		}
	})
}

func TestInstancesKeysAndKindsOfTokenDoNotMix(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		for i, change := range []func(*lookerauth.Config){
			func(*lookerauth.Config) {},
			func(cfg *lookerauth.Config) { cfg.BaseURL = "https://looker.example" },
			func(cfg *lookerauth.Config) { cfg.BaseURL = "https://looker.example/bi" },
			func(cfg *lookerauth.Config) { cfg.APIVersion = "3.1" },
			func(cfg *lookerauth.Config) { cfg.ClientID = "another" },
			func(cfg *lookerauth.Config) { cfg.NonAssociative = true },
		} {
			cache := newCache(t, looker, withStore(store), change, func(cfg *lookerauth.Config) { cfg.Transport = answerLogins() })
			accessToken(t, cache.User("789"))
			accessToken(t, cache.User(`789" "`))
			if n := len(store.names()); n != 3*(i+1) {
				t.Errorf("Config %d: %d names in the store, want %d", i, n, 3*(i+1))
			}
		}
		same := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) {
			cfg.BaseURL, cfg.APIVersion, cfg.Transport = "HTTPS://Looker.example:443/", "4.0", answerLogins()
		})
		if accessToken(t, same.User("789")); same.Stats().StoreHits != 2 { // the user's and the service account's
			t.Error("another spelling of the base URL is another instance")
		}
	})
}

func TestProcessGoesOnAloneWhileTheStoreFails(t *testing.T) {
	for name, fail := range map[string]func(string) error{
		"error":  func(string) error { return errors.New("connection refused") },
		"panic":  func(string) error { panic("oh") },
		"Goexit": func(string) error { exit(); return nil },
		"slow":   func(string) error { time.Sleep(time.Minute); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				store.setFail(fail)
				var log bytes.Buffer
				cache := newCache(t, looker, withStore(store), logOf(&log))
				before := time.Now()
				for i := range 10 {
					accessToken(t, cache.User(fmt.Sprint(i)))
				}
				if waited := time.Since(before); waited > 750*time.Millisecond {
					t.Errorf("the logins took %v", waited)
				}
				if n := store.callsOf("Get"); n != 1 {
					t.Errorf("the store was asked %d times, want once as it is left alone then", n)
				}

				store.setFail(nil)
				time.Sleep(5 * time.Second)
				accessToken(t, cache.User("11"))
				if n := len(store.names()); n != 1 {
					t.Errorf("%d values in the store after it has come back, want 1", n)
				}
				failed, works := strings.Count(log.String(), "store failed"), strings.Count(log.String(), "store works again")
				if n := cache.Stats().StoreErrors; n != 1 || failed != 1 || works != 1 {
					t.Errorf("%d errors counted; logged:\n%s", n, log.String())
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// The Store here does not even heed its context.
func TestSlowOperationOfTheStoreIsNotWaitedFor(t *testing.T) {
	for op, longest := range map[string]time.Duration{
		"Get": 750 * time.Millisecond, "Put": 750 * time.Millisecond, "Delete": 750 * time.Millisecond,
		"Lock":   5 * time.Second,
		"unlock": time.Second, // by the next login, which waits for the lock
	} {
		t.Run(op, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				cache := newCache(t, looker, withStore(store))
				user := cache.User("789")
				store.setFail(func(failing string) error {
					if failing == op {
						time.Sleep(time.Second)
					}
					return nil
				})
				before := time.Now()
				accessToken(t, user)
				user.Invalidate(must(user.Token()))
				accessToken(t, user)
				if waited := time.Since(before); waited > longest {
					t.Errorf("two logins took %v", waited)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestLockThatIsNotHadInTimeCostsALogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		service := newCache(t, looker, withStore(store)).ServiceAccount()
		accessToken(t, service)
		name := store.names()[0]
		unlock, err := store.Lock(t.Context(), name) // by a process that does not log in
		if err != nil {
			t.Fatal(err)
		}
		store.values = map[string]stored{}
		before := time.Now()
		other := newCache(t, looker, withStore(store))
		accessToken(t, other.ServiceAccount())
		if waited := time.Since(before); waited != 5*time.Second {
			t.Errorf("waited %v for the lock", waited)
		}
		if n := other.Stats().StoreErrors; n != 1 || len(store.names()) != 1 {
			t.Errorf("%d errors of the store, %d values in it; want it counted, and the store used all the same", n, len(store.names()))
		}
		unlock()
		checkCalls(t, looker, 2, 0)

		// What came too late is released.
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if unlock, err := store.Lock(ctx, name); err != nil {
			t.Errorf("the lock was not released: %v", err)
		} else {
			unlock()
		}
	})
}

// lateLock is a memoryStore whose Lock takes its time, whatever its context says.
type lateLock struct{ *memoryStore }

func (s lateLock) Lock(_ context.Context, key string) (func(), error) {
	time.Sleep(10 * time.Second)
	return s.memoryStore.Lock(context.Background(), key)
}

func TestLockThatCameTooLateIsReleased(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(lateLock{store})).ServiceAccount())
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		unlock, err := store.Lock(ctx, store.names()[0])
		if err != nil {
			t.Fatalf("the lock is still held: %v", err)
		}
		unlock()
	})
}

func TestLockLeavesTimeForTheLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		looker.Fail(lookertest.Login, -1, lookertest.Fault{Delay: time.Second})
		cfg := func(cfg *lookerauth.Config) { cfg.LoginTimeout = 2 * time.Second }
		accessToken(t, newCache(t, looker, withStore(store), cfg).ServiceAccount())
		unlock, err := store.Lock(t.Context(), store.names()[0])
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		store.values = map[string]stored{}
		accessToken(t, newCache(t, looker, withStore(store), cfg).ServiceAccount())
	})
}

func TestSlowStoreLeavesTimeForTheLogin(t *testing.T) {
	for _, delay := range []time.Duration{240 * time.Millisecond, 700 * time.Millisecond} { // a little less, and more, than is waited for
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			store := newMemoryStore()
			store.setFail(func(string) error { time.Sleep(delay); return nil })
			looker.FailFunc(func(lookertest.Call) *lookertest.Fault { return &lookertest.Fault{Delay: 300 * time.Millisecond} })
			cache := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) { cfg.LoginTimeout = 4 * time.Second })
			accessToken(t, cache.User("789"))
			time.Sleep(time.Minute)
		})
	}
}

// unlockedBy is a memoryStore whose locks are free, with this unlock.
type unlockedBy struct {
	*memoryStore
	unlock func()
}

func (s unlockedBy) Lock(context.Context, string) (func(), error) { return s.unlock, nil }

func TestBrokenUnlockBreaksNothing(t *testing.T) {
	for _, unlock := range []func(){func() { panic("oh") }, exit, nil} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			accessToken(t, newCache(t, looker, withStore(unlockedBy{newMemoryStore(), unlock})).User("789"))
			synctest.Wait()
		})
	}
}

func TestCloseWaitsForUnlock(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		unlocked := false
		cache := newCache(t, looker, withStore(unlockedBy{newMemoryStore(), func() { time.Sleep(time.Second); unlocked = true }}))
		accessToken(t, cache.ServiceAccount())
		if err := cache.Close(t.Context()); err != nil || !unlocked {
			t.Errorf("unlocked: %v; %v", unlocked, err)
		}
	})
}

func TestLogoutSurvivesBrokenCredentials(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, withStore(newMemoryStore()), func(cfg *lookerauth.Config) {
			cfg.Credentials = func(context.Context) (string, string, error) { panic("oh") }
		})
		if err := cache.User("789").Logout(t.Context()); err == nil || !strings.Contains(err.Error(), "panicked") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSharedTokensOutliveEvictionAndClose(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store), maxUsers(1))
		for _, userID := range []string{"1", "2", "3"} {
			accessToken(t, cache.User(userID))
		}
		if err := cache.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if alive := looker.Alive(); len(alive) != 4 {
			t.Errorf("alive: %v, want three users and the service account", alive)
		}
		if n := looker.Calls(lookertest.Logout); n != 0 {
			t.Errorf("%d logouts", n)
		}
	})
}

func TestLogoutReachesTheStore(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one, other := newCache(t, looker, withStore(store)), newCache(t, looker, withStore(store))
		accessToken(t, one.User("789"))
		if err := other.User("789").Logout(t.Context()); err != nil { // which has not seen the token yet
			t.Fatal(err)
		}
		if n := looker.Alive()["789"]; n != 0 {
			t.Errorf("%d tokens alive", n)
		}
		if got := whoAnswered(t, t.Context(), one.User("789").Client(), looker.URL+"/api/4.0/looks"); got != "789" {
			t.Errorf("the other process was answered as %q", got)
		}
		for _, failing := range []string{"Get", "Delete"} {
			accessToken(t, other.User("790"))
			store.setFail(func(op string) error {
				if op == failing {
					return errors.New("connection refused")
				}
				return nil
			})
			if err := one.User("790").Logout(t.Context()); err == nil || !strings.Contains(err.Error(), "other processes") {
				t.Errorf("%s fails: got %v", failing, err)
			}
			if n := looker.Alive()["790"]; failing == "Delete" && n != 0 {
				t.Errorf("%d tokens alive that Logout had read", n)
			}
			store.setFail(nil)
			time.Sleep(time.Minute)
		}
		store.setFail(func(string) error { return errors.New("connection refused") })
		if err := one.User("789").Logout(t.Context()); err == nil || !strings.Contains(err.Error(), "other processes") {
			t.Errorf("got %v, want it to say that others may still use a token", err)
		}
		if n := looker.Alive()["789"]; n != 0 {
			t.Errorf("%d tokens alive after a Logout without the store", n)
		}
	})
}

func TestLogoutReachesAStoreThatIsBeingLeftAlone(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store))
		accessToken(t, cache.User("789"))
		store.setFail(func(string) error { return errors.New("a moment's failure") })
		accessToken(t, cache.User("790"))
		store.setFail(nil)
		if err := cache.User("789").Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(store.names()); n != 1 {
			t.Errorf("%d values in the store, want the service account's", n)
		}
	})
}

func TestLoginUnderWayDoesNotReachTheStoreAfterLogout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user := newCache(t, looker, withStore(store)).ServiceAccount()
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Delay: time.Second})
		go func() {
			_, _ = user.Token()
		}()
		synctest.Wait()
		looker.Fail(lookertest.Login, -1, lookertest.Fault{Status: 403})
		if err := user.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if names, alive := store.names(), looker.Alive(); len(names) != 0 || len(alive) != 0 {
			t.Errorf("in the store: %v, alive: %v", names, alive)
		}
	})
}

func TestTokenThatAfterLoginRefusedIsNotShared(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(context.Context, string, *http.Client) error { return errors.New("no") }
		})
		if _, err := cache.ServiceAccount().Token(); err == nil {
			t.Error("no error")
		}
		synctest.Wait()
		if names, alive := store.names(), looker.Alive(); len(names) != 0 || len(alive) != 0 {
			t.Errorf("in the store: %v, alive: %v", names, alive)
		}
	})
}

func TestTokenOfAClockThatIsAheadIsTaken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, ahead := newMemoryStore(), &steppedClock{}
		ahead.step(10 * time.Second)
		accessToken(t, newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) { cfg.Clock = ahead }).ServiceAccount())
		other := newCache(t, looker, withStore(store)).ServiceAccount()
		for range 3 {
			accessToken(t, other)
			synctest.Wait()
		}
		checkCalls(t, looker, 1, 0)
	})
}

func TestStoreNeedsKeysOfTheRightSize(t *testing.T) {
	for want, change := range map[string]func(*lookerauth.Config){
		"Store and StoreKeys go together":                func(cfg *lookerauth.Config) { cfg.Store = newMemoryStore() },
		"Store and StoreKeys go together: ":              func(cfg *lookerauth.Config) { cfg.StoreKeys = [][]byte{oneKey} },
		"StoreKeys[1] has 16 bytes: use 32 random ones":  withStore(newMemoryStore(), oneKey, oneKey[:16]),
		"StoreKeys[0] has 0 bytes: use 32 random ones\n": withStore(newMemoryStore(), nil, []byte{}),
	} {
		cfg := lookerauth.Config{BaseURL: "https://looker.example", ClientID: testID, ClientSecret: testSecret}
		change(&cfg)
		if _, err := lookerauth.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestConfigShowsNoStoreKey(t *testing.T) {
	cfg := lookerauth.Config{StoreKeys: [][]byte{[]byte("0123456789abcdef0123456789abcdef")}}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %x %s", cfg, cfg, cfg, cfg, cfg), string(must(json.Marshal(cfg)))} {
		if strings.Contains(text, "0123456789abcdef") || strings.Contains(text, fmt.Sprintf("%x", cfg.StoreKeys[0])) || strings.Contains(text, "[48 49") {
			t.Errorf("a key is in %s", text)
		}
	}
}
