package lookerauth_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// export exports the source's token.
func export(t *testing.T, s *lookerauth.TokenSource, minLife time.Duration) *oauth2.Token {
	t.Helper()
	token, err := s.Export(t.Context(), lookerauth.ExportOptions{MinLife: minLife})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// exportFails exports the source's token, which must fail, and returns the error.
func exportFails(t *testing.T, s *lookerauth.TokenSource, minLife time.Duration) error {
	t.Helper()
	token, err := s.Export(t.Context(), lookerauth.ExportOptions{MinLife: minLife})
	if err == nil {
		t.Errorf("got a token that expires at %v", token.Expiry)
	}
	return err
}

// checkAccepted compares whether Looker accepts a token.
func checkAccepted(t *testing.T, looker *lookertest.Server, token *oauth2.Token, want bool) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, looker.URL+looks, nil)
	token.SetAuthHeader(req)
	resp, err := looker.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.StatusCode == http.StatusOK; got != want {
		t.Errorf("Looker answers %s", resp.Status)
	}
}

func TestExportedTokenIsWhatABrowserWants(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.User("789"))
		time.Sleep(10*time.Minute + time.Millisecond)
		token := export(t, cache.User("789"), 0)
		if token.AccessToken != accessToken(t, cache.User("789")) {
			t.Error("it is not the current token")
		}
		text, err := json.Marshal(token)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		if keys := slices.Sorted(maps.Keys(fields)); !slices.Equal(keys,
			[]string{"access_token", "expires_in", "expiry", "token_type"}) {
			t.Errorf("it has %v", keys)
		}
		if fields["token_type"] != "Bearer" || fields["expires_in"] != 2999.0 {
			t.Errorf("it is %s", text)
		}
		if token.Extra("token_type") != nil {
			t.Error("it has what Looker said besides")
		}
		token.AccessToken = "changed" // it is the caller's own
		answersAs(t, cache.User("789").Client(), looker, "789")
		checkCalls(t, looker, 1, 1)
	})
}

// fleetOrNot runs test without a Store, and with one.
func fleetOrNot(t *testing.T, test func(t *testing.T, looker *lookertest.Server, with option)) {
	t.Run("alone", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			test(t, looker, func(*lookerauth.Config) {})
		})
	})
	t.Run("with a Store", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			test(t, looker, withStore(newMemoryStore()))
		})
	})
}

func TestWhoeverHasAnExportedTokenKeepsIt(t *testing.T) {
	for name, happens := range map[string]func(*testing.T, *lookertest.Server, *lookerauth.Cache){
		"50 evictions": func(t *testing.T, _ *lookertest.Server, cache *lookerauth.Cache) {
			for range 50 {
				useUsers(t, cache, 2)
				export(t, cache.User("789"), 0)
			}
		},
		"a refresh": func(t *testing.T, _ *lookertest.Server, cache *lookerauth.Cache) {
			time.Sleep(55 * time.Minute)
			for range 2 {
				accessToken(t, cache.User("789"))
				synctest.Wait()
			}
			useUsers(t, cache, 2) // and an eviction of both
		},
		"a rejection": func(t *testing.T, looker *lookertest.Server, cache *lookerauth.Cache) {
			failNext(looker, 1, lookertest.OpAPI, answered(http.StatusUnauthorized))
			answersAs(t, cache.User("789").Client(), looker, "789")
		},
		"a rejection, and no login": func(
			t *testing.T, _ *lookertest.Server, cache *lookerauth.Cache,
		) {
			invalidate(t, cache.User("789"))
			useUsers(t, cache, 2)
		},
		"another one": func(t *testing.T, _ *lookertest.Server, cache *lookerauth.Cache) {
			time.Sleep(20 * time.Minute)
			export(t, cache.User("789"), 50*time.Minute)
		},
		"an export of the same one": func(
			t *testing.T, _ *lookertest.Server, cache *lookerauth.Cache,
		) {
			export(t, cache.User("789"), 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			fleetOrNot(t, func(t *testing.T, looker *lookertest.Server, with option) {
				cache := newCache(t, looker, with, maxUsers(1))
				token := export(t, cache.User("789"), 50*time.Minute)
				happens(t, looker, cache)
				checkAccepted(t, looker, token, true)
				logOut(t, cache.User("789"))
				checkAccepted(t, looker, token, false)
				synctest.Wait() // until one that was evicted is ended
				if n := looker.Alive()["789"]; n != 0 {
					t.Errorf("%d tokens are alive after Logout", n)
				}
			})
			fleetOrNot(t, func(t *testing.T, looker *lookertest.Server, with option) {
				cache := newCache(t, looker, with, maxUsers(1))
				token := export(t, cache.User("789"), 50*time.Minute)
				happens(t, looker, cache)
				closeCache(t, cache)
				checkAccepted(t, looker, token, true)
				err := exportFails(t, cache.User("789"), 0)
				checkError(t, err, lookerauth.ErrClosed)
			})
		})
	}
}

// Those that were not exported are ended as ever.
func TestOnlyExportedTokensAreLeftAlive(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		useUsers(t, cache, 3)
		exported := export(t, cache.User(nthUser(1)), 0)
		invalidate(t, cache.User(nthUser(1)))
		accessToken(t, cache.User(nthUser(1)))
		closeCache(t, cache)
		if got := looker.Alive(); len(got) != 1 || got[nthUser(1)] != 1 {
			t.Errorf("alive: %v", got)
		}
		checkAccepted(t, looker, exported, true)
	})
}

func TestConcurrentExportsCostOneLogin(t *testing.T) {
	fleetOrNot(t, func(t *testing.T, looker *lookertest.Server, with option) {
		cache := newCache(t, looker, with)
		for round := range 2 {
			together(100, func(int) { export(t, cache.User("789"), 50*time.Minute) })
			checkLogins(t, looker, "789", 1+round)
			time.Sleep(11 * time.Minute)
		}
	})
}

func TestCurrentTokenThatEndsTooSoonIsReplaced(t *testing.T) {
	fleetOrNot(t, func(t *testing.T, looker *lookertest.Server, with option) {
		cache := newCache(t, looker, with)
		first := export(t, cache.User("789"), 50*time.Minute)
		time.Sleep(10 * time.Minute)
		if same := export(t, cache.User("789"), 50*time.Minute); same.Expiry != first.Expiry {
			t.Error("it was replaced when it had just enough left")
		}
		time.Sleep(time.Minute)
		next := export(t, cache.User("789"), 50*time.Minute)
		if left := time.Until(next.Expiry); left != time.Hour {
			t.Errorf("the next one has %v left", left)
		}
		if next.AccessToken != accessToken(t, cache.User("789")) {
			t.Error("it is not the current one")
		}
		checkLogins(t, looker, "789", 2)
	})
}

// Another process may have stored a token that is new, and not new enough.
func TestTokenFromTheStoreThatEndsTooSoonIsNotTaken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		fleet := newFleet(t, looker, 2, withStore(newMemoryStore()))
		accessToken(t, fleet[0].User("789"))
		time.Sleep(11 * time.Minute)
		token := export(t, fleet[1].User("789"), 50*time.Minute)
		if left := time.Until(token.Expiry); left != time.Hour {
			t.Errorf("it has %v left", left)
		}
		accessToken(t, fleet[1].User("790"))
		time.Sleep(5 * time.Minute)
		if token := export(t, fleet[0].User("790"), 50*time.Minute); token.AccessToken !=
			accessToken(t, fleet[1].User("790")) {
			t.Error("one that will do is not taken")
		}
		checkLogins(t, looker, "789", 2)
		checkLogins(t, looker, "790", 1)
	})
}

// A caller whose wish is modest has found a login under way, or started it.
func TestResultOfALoginUnderWayThatEndsTooSoonIsNotTheLast(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		fleet := newFleet(t, looker, 2, withStore(store))
		accessToken(t, fleet[0].User("789"))
		time.Sleep(11 * time.Minute)
		store.onCall(func(string) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		modest := tokenInBackground(fleet[1].User("789"))
		time.Sleep(50 * time.Millisecond)
		token := export(t, fleet[1].User("789"), 50*time.Minute)
		checkError(t, <-modest, nil)
		if left := time.Until(token.Expiry); left < 59*time.Minute {
			t.Errorf("it has %v left", left)
		}
		checkLogins(t, looker, "789", 2)
	})
}

func TestExportThatCanNotBe(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		user := cache.User("789")
		const negative = "MinLife is -1ns: use a positive duration, or 0"
		checkErrorSays(t, exportFails(t, user, -1), negative)
		checkCalls(t, looker, 0, 0)
		checkErrorSays(t, exportFails(t, cache.ServiceAccount(), 0),
			"the service account's token is for nobody else")
		checkError(t, exportFails(t, cache.As(lookerauth.Identity{}), 0), lookerauth.ErrNoIdentity)
		checkError(t, exportFails(t, cache.User("/"), 0), lookerauth.ErrInvalidIdentity)
		checkCalls(t, looker, 0, 0)

		const tooLong = "MinLife is 54m0.000000001s, but tokens live for 1h0m0s: " +
			"ask for nine tenths of that at most"
		for range 3 { // the first one has to log in to know
			checkErrorSays(t, exportFails(t, user, 54*time.Minute+1), tooLong)
		}
		checkCalls(t, looker, 1, 1)
		export(t, user, 54*time.Minute)
		checkCalls(t, looker, 1, 1)
		closeCache(t, cache)
		if alive := looker.Alive()["789"]; alive != 1 {
			t.Errorf("%d tokens are left alive, want the exported one", alive)
		}
	})
}

func TestExportThatFailsLeavesTheCurrentTokenAlone(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		user := cache.User("789")
		current := accessToken(t, user)
		time.Sleep(30 * time.Minute)
		failing(looker, lookertest.OpLoginUser, answered(http.StatusForbidden))
		checkError(t, exportFails(t, user, 50*time.Minute), lookerauth.ErrForbidden)
		healthy(looker)
		time.Sleep(time.Minute)
		if accessToken(t, user) != current {
			t.Error("it was replaced")
		}
		checkLogins(t, looker, "789", 2)
		closeCache(t, cache)
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive: %v", alive)
		}
	})
}

func TestExportLeavesWhenItsContextEnds(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		failing(looker, lookertest.OpLoginUser, delayed(5*time.Second))
		user := newCache(t, looker).User("789")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := user.Export(ctx, lookerauth.ExportOptions{})
		checkError(t, err, context.DeadlineExceeded)
		time.Sleep(10 * time.Second)
		export(t, user, 0)
		checkLogins(t, looker, "789", 1)
	})
}

// Each caller is counted once, however many logins it took.
func TestExportsThatWaitAreCounted(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		export(t, cache.User("789"), 0)
		export(t, cache.User("789"), 0)
		time.Sleep(30 * time.Minute)
		export(t, cache.User("789"), 50*time.Minute)
		failing(looker, lookertest.OpLoginUser, answered(http.StatusForbidden))
		exportFails(t, cache.User("790"), 0)
		if s := cache.Stats(); s.WaitsServed != 2 || s.WaitsFailed != 1 || s.WaitsLeft != 0 {
			t.Errorf("%d served, %d failed, %d left", s.WaitsServed, s.WaitsFailed, s.WaitsLeft)
		}
	})
}

func TestLogoutAllEndsWhatTheCacheHolds(t *testing.T) {
	fleetOrNot(t, func(t *testing.T, looker *lookertest.Server, with option) {
		cache := newCache(t, looker, with, maxUsers(20))
		export(t, cache.User("evicted"), 0)
		useUsers(t, cache, 20)
		export(t, cache.User(nthUser(3)), 0)
		if err := cache.LogoutAll(t.Context()); err != nil {
			t.Error(err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive: %v", alive)
		}
		answersAs(t, cache.User(nthUser(3)).Client(), looker, nthUser(3)) // it goes on
		checkLogins(t, looker, nthUser(3), 2)
	})
}

func TestLogoutAllSaysHowManyItCouldNotLogOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		useUsers(t, cache, 9)
		looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			if call.Op == lookertest.OpLogout && strings.HasSuffix(call.UserID, "3") {
				return answered(http.StatusForbidden)
			}
			return lookertest.Fault{}
		})
		err := cache.LogoutAll(t.Context())
		checkErrorSays(t, err, "the logout of 1 of 10 identities failed", "logout 103")
		if failed := callError(t, err); failed.StatusCode != http.StatusForbidden {
			t.Errorf("got %v", err)
		}
		if alive := looker.Alive(); len(alive) != 1 {
			t.Errorf("alive: %v", alive)
		}
		looker.FailFunc(nil)
		closeCache(t, cache)
		checkNoneAlive(t, looker)
		checkError(t, cache.LogoutAll(t.Context()), lookerauth.ErrClosed)
	})
}
