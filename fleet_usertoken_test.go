package lookerauth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// newElsewhereFleet returns n processes whose users' tokens come from one place.
func newElsewhereFleet(
	t *testing.T, looker *lookertest.Server, n int, store lookerauth.Store, options ...option,
) ([]*lookerauth.Cache, *elsewhere) {
	t.Helper()
	source := newElsewhere(looker)
	options = append(options, withoutKey, withUserToken(source.userToken), withStore(store))
	return newFleet(t, looker, n, options...), source
}

func TestFleetSharesTokensFromElsewhere(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		fleet, source := newElsewhereFleet(t, looker, 8, store)
		source.set(lasting(time.Second), func(t *oauth2.Token) *oauth2.Token {
			t.RefreshToken = "1//refresh"
			return t.WithExtra(map[string]any{"id_token": "eyJh"})
		})
		var tokens [8]string
		together(8, func(i int) {
			token := must(fleet[i].User("789").Token())
			tokens[i] = token.AccessToken
			if token.RefreshToken != "" || token.Extra("id_token") != nil ||
				token.Extra("refresh_token") != nil {
				t.Errorf("process %d has %+v", i, token)
			}
		})
		source.check(t, 1)
		store.checkSize(t, 1)
		for _, token := range tokens {
			if token != tokens[0] {
				t.Error("two tokens in one fleet")
			}
		}
		looker.Revoke("789")
		together(8, func(i int) { answersAs(t, fleet[i].User("789").Client(), looker, "789") })
		if req := source.check(t, 2); req.Rejected != tokens[0] {
			t.Errorf("%q is named as rejected", req.Rejected)
		}
	})
}

// A value in the Store is sealed, but its length shows that there is nothing more in it.
func TestStoreGetsNoRefreshToken(t *testing.T) {
	size := func(refresh string) (n int) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			store := newMemoryStore()
			fleet, source := newElsewhereFleet(t, looker, 1, store)
			source.set(nil, func(t *oauth2.Token) *oauth2.Token {
				t.RefreshToken = refresh
				return t.WithExtra(map[string]any{"id_token": refresh, "refresh_token": refresh})
			})
			accessToken(t, fleet[0].User("789"))
			n = len(store.get(store.names()[0]).value)
		})
		return n
	}
	if none, long := size(""), size(strings.Repeat("x", 1000)); none != long {
		t.Errorf("%d bytes are stored without a refresh token, %d with one", none, long)
	}
}

// Two that use up one refresh token at once lose it.
func TestFleetMakesOneCallOfUserTokenAtATime(t *testing.T) {
	for name, tt := range map[string]struct {
		takes time.Duration
		fails bool
	}{
		"short":              {time.Second, false},
		"long":               {25 * time.Second, false},
		"short, all fail":    {time.Second, true},
		"long, all fail":     {20 * time.Second, true},
		"too long, all fail": {time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				const processes = 8
				fleet, source := newElsewhereFleet(t, looker, processes, newMemoryStore())
				source.set(func(ctx context.Context) error {
					if err := lasting(tt.takes)(ctx); err != nil || !tt.fails {
						return err
					}
					return errWithdrawn
				}, nil)
				together(processes, func(i int) {
					if _, err := fleet[i].User("789").Token(); (err != nil) != tt.fails {
						t.Errorf("process %d: %v", i, err)
					}
				})
				source.checkMost(t, 1)
				want := 1
				if tt.fails {
					want = processes
				}
				source.check(t, want)
			})
		})
	}
}

func TestFleetRefreshesTokensFromElsewhereOneAtATime(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		fleet, source := newElsewhereFleet(t, looker, 4, newMemoryStore())
		source.set(lasting(12*time.Second), nil)
		user := func(i int) *lookerauth.TokenSource { return fleet[i%4].User("789") }
		for range 3 * 60 {
			together(4, func(i int) { answersAs(t, user(i).Client(), looker, "789") })
			time.Sleep(time.Minute)
		}
		source.checkMost(t, 1)
		source.check(t, 4)
	})
}

// It may have used the refresh token up, or not: nobody can know.
func TestProcessThatStandsStillCostsTheOthersALoginTimeout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		process := &mortal{memoryStore: store}
		dead, source := newElsewhereFleet(t, looker, 1, process)
		source.set(lasting(29*time.Second), nil)
		tokenInBackground(dead[0].User("789"))
		synctest.Wait()
		process.dead.Store(true)

		fleet, others := newElsewhereFleet(t, looker, 4, store)
		start := time.Now()
		together(4, func(i int) { accessToken(t, fleet[i].User("789")) })
		took := time.Since(start)
		if took < 30*time.Second || took > 31*time.Second {
			t.Errorf("it took %v", took)
		}
		others.check(t, 1)
	})
}

func TestProcessThatFailedLetsTheNextStartAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		fleet, source := newElsewhereFleet(t, looker, 2, newMemoryStore())
		source.set(withdrawn, nil)
		failsWith(t, fleet[0].User("789"), errWithdrawn)
		synctest.Wait()
		source.set(nil, nil)
		start := time.Now()
		accessToken(t, fleet[1].User("789"))
		checkTook(t, start, 0)
	})
}

func TestWithoutItsStoreEachProcessAsksForItself(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		store.fail(errors.New("connection refused"))
		fleet, source := newElsewhereFleet(t, looker, 4, store)
		start := time.Now()
		together(4, func(i int) { answersAs(t, fleet[i].User("789").Client(), looker, "789") })
		checkTook(t, start, 0)
		source.check(t, 4)
	})
}

// What a Store brings back from before must not keep a user waiting for ever.
func TestStoreThatShowsOldLeasesKeepsNobodyWaitingForEver(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		var leases [][]byte
		fleet, source := newElsewhereFleet(t, looker, 1, store)
		source.set(func(context.Context) error {
			leases = append(leases, store.get(store.names()[0]).value)
			return errWithdrawn
		}, nil)
		for range 5 {
			failsWith(t, fleet[0].User("789"), errWithdrawn)
			time.Sleep(time.Minute)
		}
		fleet, source = newElsewhereFleet(t, looker, 1, &rotation{answers: leases})
		start := time.Now()
		accessToken(t, fleet[0].User("789"))
		if took := time.Since(start); took > 11*time.Minute {
			t.Errorf("it took %v", took)
		}
		source.check(t, 1)
	})
}

// rotation is a Store that answers with something else each time.
type rotation struct {
	answers [][]byte
	calls   int
}

func (r *rotation) Get(context.Context, string) ([]byte, error) {
	r.calls++
	return r.answers[r.calls%len(r.answers)], nil
}

func (r *rotation) CompareAndSwap(
	ctx context.Context, name string, _, _ []byte, _ time.Duration,
) ([]byte, error) {
	return r.Get(ctx, name)
}

// Tokens of login_user act with other rights than those of OAuth.
func TestTokensFromElsewhereAreNotSharedWithThoseOfLoginUser(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		source := newElsewhere(looker)
		caches := []*lookerauth.Cache{
			newCache(t, looker, withStore(store)),
			newCache(t, looker, withStore(store), withUserToken(source.userToken)),
			newCache(t, looker, withStore(store), withUserToken(source.userToken), withoutKey),
		}
		var tokens, services [3]string
		for i, cache := range caches {
			tokens[i] = accessToken(t, cache.User("789"))
			if i < 2 {
				services[i] = accessToken(t, cache.ServiceAccount())
			}
		}
		if tokens[0] == tokens[1] {
			t.Error("one has the token of login_user from elsewhere")
		}
		if tokens[1] != tokens[2] || services[0] != services[1] {
			t.Error("what is the same is not shared") // with a key or without
		}
		source.check(t, 1)
		store.checkSize(t, 3)
	})
}

func TestNamesOfTokensFromElsewhereTakeNoAPIKey(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		source := newElsewhere(looker)
		broken := withAPIKey(func() (string, string, error) {
			t.Error("the API key was asked for")
			return "", "", errors.New("the vault is sealed")
		})
		store := withStore(newMemoryStore())
		cache := newCache(t, looker, broken, store, withUserToken(source.userToken))
		answersAs(t, cache.User("789").Client(), looker, "789")
		logOut(t, cache.User("789"))
	})
}

func TestFleetsTokensFromElsewhereAreLoggedOutByLogoutOnly(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		fleet, source := newElsewhereFleet(t, looker, 2, store, maxUsers(1))
		user := fleet[0].User("789")
		accessToken(t, user)
		invalidate(t, user)
		accessToken(t, user)
		accessToken(t, fleet[0].User("790")) // evicts
		synctest.Wait()
		closeCache(t, fleet[0])
		checkLogouts(t, looker, 0)
		accessToken(t, fleet[1].User("789"))
		source.check(t, 3)
		logOut(t, fleet[1].User("789"))
		checkAlive(t, looker, "789", 1) // which was invalidated in the other process
		if err := fleet[1].LogoutAll(t.Context()); err != nil {
			t.Error(err)
		}
		accessToken(t, fleet[1].User("789"))
		source.check(t, 4)
	})
}

// AfterLogin's error must not end a token that its source will return again.
func TestFleetsFailedAfterLoginLogsNothingFromElsewhereOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		failing := errors.New("no workspace")
		fleet, _ := newElsewhereFleet(t, looker, 1, newMemoryStore(),
			afterLogin(func() error { return failing }))
		failsWith(t, fleet[0].User("789"), failing)
		closeCache(t, fleet[0])
		checkLogouts(t, looker, 0)
	})
}
