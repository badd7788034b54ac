package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

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
