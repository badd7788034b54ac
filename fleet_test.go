package lookerauth_test

import (
	"errors"
	"net/http"
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
		looker.FailFunc(func(lookertest.Request) lookertest.Fault {
			return delayed(300 * time.Millisecond)
		})
		fleet := newFleet(t, looker, processes, withStore(store))
		together(processes*users, func(i int) {
			accessToken(t, fleet[i/users].User(nthUser(i%users)))
		})
		checkCalls(t, looker, 1, users)
		var hits uint64
		for _, cache := range fleet {
			stats := cache.Stats()
			hits += stats.StoreHits
			if stats.StoreUnopened > 0 {
				t.Errorf("%d values did not open, where there were none", stats.StoreUnopened)
			}
		}
		if want := uint64((processes - 1) * users); hits < want {
			t.Errorf("%d tokens came from the store, want %d of users", hits, want)
		}

		// A process that starts now makes no login, not even the service account's.
		useUsers(t, newCache(t, looker, withStore(store)), users)
		checkCalls(t, looker, 1, users)
	})
}

func TestFirstToRefreshServesTheFleet(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		fleet := newFleet(t, looker, 5, withStore(newMemoryStore()))
		for _, cache := range fleet {
			accessToken(t, cache.ServiceAccount())
		}
		time.Sleep(58 * time.Minute)
		for _, cache := range fleet {
			accessToken(t, cache.ServiceAccount()) // aging: served, and refreshed in the background
		}
		time.Sleep(time.Second) // some have to look a second time
		checkCalls(t, looker, 2, 0)
		first := accessToken(t, fleet[0].ServiceAccount())
		for _, cache := range fleet {
			if accessToken(t, cache.ServiceAccount()) != first {
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
		// It is not usable any more, but stored for five seconds yet.
		time.Sleep(59*time.Minute + 55*time.Second)
		other := newCache(t, looker, withStore(store)).ServiceAccount()
		if accessToken(t, other) == first {
			t.Error("a token that expires in 5 s was taken from the store")
		}
		store.checkSize(t, 1)
	})
}

func TestStoredTokenIsTheOneThatWasIssued(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		looker.FailNext(lookertest.OpLogin, delayed(time.Second))
		issued := must(newCache(t, looker, withStore(store)).ServiceAccount().Token())
		time.Sleep(time.Minute)
		taken := must(newCache(t, looker, withStore(store)).ServiceAccount().Token())
		if taken.AccessToken != issued.AccessToken || !taken.Expiry.Equal(issued.Expiry) ||
			taken.Extra("token_type") != issued.Extra("token_type") {
			t.Errorf("took %v, issued was %v", taken, issued)
		}
		if expiry := store.get(store.names()[0]).expiry; !expiry.Equal(issued.Expiry) {
			t.Errorf("it is stored until %v, but expires at %v", expiry, issued.Expiry)
		}
	})
}

// What is stored is older than what is held if the last swap failed.
func TestOlderStoredTokenIsNotTaken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		looker.SetTokenLife(24 * time.Hour)
		service := newCache(t, looker, withStore(store)).ServiceAccount()
		accessToken(t, service)
		store.failOn("Swap", errors.New("READONLY"))
		looker.SetTokenLife(time.Minute)
		for _, aging := range []time.Duration{
			23*time.Hour + 56*time.Minute, // the first token
			45 * time.Second,              // the second
		} {
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
		cache := newCache(t, looker, withStore(store), afterLogin(func() error {
			time.Sleep(2 * time.Second)
			return nil
		}))
		_, _ = cache.ServiceAccount().Token()
		synctest.Wait()
		store.checkSize(t, 0)
	})
}

func TestRejectedTokenIsReplacedOnceForTheFleet(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		failing(looker, lookertest.OpLoginUser, delayed(300*time.Millisecond))
		fleet := newFleet(t, looker, 4, withStore(store))
		for _, cache := range fleet {
			accessToken(t, cache.User("789"))
		}
		time.Sleep(time.Minute)
		looker.Revoke("789")
		together(40, func(i int) {
			answersAs(t, fleet[i%4].User("789").Client(), looker, "789")
		})
		checkCalls(t, looker, 1, 2)
	})
}

func TestRejectedTokenLeavesTheStoreBeforeItIsReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user := newCache(t, looker, withStore(store)).User("789")
		invalidate(t, user)
		looker.FailNext(lookertest.OpLoginUser, answered(403))
		failsWith(t, user, lookerauth.ErrForbidden)
		synctest.Wait()
		store.checkSize(t, 1) // the service account's
	})
}

// Another process has replaced the token before, and then the replacement dies, too.
func TestDeadReplacementFromTheStoreIsReplacedToo(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one, other := newCache(t, looker, withStore(store)), newCache(t, looker, withStore(store))
		for _, pair := range [][2]*lookerauth.TokenSource{
			{one.ServiceAccount(), other.ServiceAccount()},
			{one.User("789"), other.User("789")},
		} {
			accessToken(t, pair[0])
			accessToken(t, pair[1])
			time.Sleep(time.Minute)
			invalidate(t, pair[0])
			accessToken(t, pair[0])
		}
		time.Sleep(time.Minute)
		looker.RevokeAll()
		for range 5 {
			answersAs(t, other.User("789").Client(), looker, "789")
			time.Sleep(2 * time.Second)
		}
	})
}

// By the clock of who takes it, such a replacement was issued after the rejection.
func TestDeadReplacementOfAClockThatIsAheadIsReplacedToo(t *testing.T) {
	for _, by := range []time.Duration{2 * time.Second, 5 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store, ahead := newMemoryStore(), &steppedClock{}
				ahead.step(by)
				one := newCache(t, looker, withStore(store)).User("789")
				other := newCache(t, looker, withStore(store), withClock(ahead)).User("789")
				accessToken(t, one)
				accessToken(t, other)
				invalidate(t, other)
				accessToken(t, other)
				time.Sleep(time.Second)
				looker.Revoke("789")
				for range 5 {
					answersAs(t, one.Client(), looker, "789")
					time.Sleep(2 * time.Second)
				}
			})
		})
	}
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

// One process is answered 401 where everybody is: that is no reason to revoke the token which the
// others have from the Store.
func TestEndpointThatAlwaysAnswers401HarmsNoOtherProcess(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const forbidden = "/api/4.0/forbidden"
		base := withTransport(forbid(looker.Transport(), forbidden))
		fleet := newFleet(t, looker, 3, withStore(newMemoryStore()), maxUsers(1), base)
		for range 60 {
			for i, cache := range fleet {
				client := cache.User("789").Client()
				answersAs(t, client, looker, "789")
				status := statusOf(t, client, looker.URL+forbidden)
				synctest.Wait()
				if status != http.StatusUnauthorized {
					t.Errorf("process %d: %d", i, status)
				}
			}
			time.Sleep(time.Second)
		}
		if n := looker.Count(lookertest.OpLoginUser, ""); n > 1+3*7 {
			t.Errorf("%d logins in a minute, want one in 10 s for each process at most", n)
		}
	})
}

func TestReplacementByAClockThatIsBehindCostsALogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, behind := newMemoryStore(), &steppedClock{}
		behind.step(-time.Minute)
		one := newCache(t, looker, withStore(store)).User("789")
		other := newCache(t, looker, withStore(store), withClock(behind)).User("789")
		accessToken(t, one)
		accessToken(t, other)
		time.Sleep(10 * time.Second)
		looker.Revoke("789")
		answersAs(t, other.Client(), looker, "789")
		answersAs(t, one.Client(), looker, "789")
		checkCalls(t, looker, 1, 3)
	})
}

func TestTokenOfAClockThatIsAheadIsTaken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, ahead := newMemoryStore(), &steppedClock{}
		ahead.step(10 * time.Second)
		accessToken(t, newCache(t, looker, withStore(store), withClock(ahead)).ServiceAccount())
		other := newCache(t, looker, withStore(store)).ServiceAccount()
		for range 3 {
			accessToken(t, other)
			synctest.Wait()
		}
		checkCalls(t, looker, 1, 0)
	})
}

func TestFailingAPIKeyIsHeldDown(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		sealed, asked := errors.New("the vault is sealed"), 0
		vault := withAPIKey(func() (string, string, error) {
			asked++
			return "", "", sealed
		})
		cache := newCache(t, looker, withStore(newMemoryStore()), vault)
		for i := range 20 {
			failsWith(t, cache.User(nthUser(i)), sealed)
		}
		if asked != 1 {
			t.Errorf("asked for the key %d times", asked)
		}
		var want lookerauth.Stats
		want.ServiceAccount.Failed.Other = 1
		checkStats(t, cache, want)
	})
}

func TestHeldDownServiceAccountCostsTheStoreLittle(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user := newCache(t, looker, withStore(store)).User("789")
		failing(looker, lookertest.OpLogin, answered(403))
		for range 100 {
			_, _ = user.Token()
		}
		synctest.Wait()
		if n := store.callsOf("Swap"); n != 2 {
			t.Errorf("%d swaps, want those of the service account's lease", n)
		}
	})
}
