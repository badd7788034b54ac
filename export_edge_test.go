package lookerauth_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// Each token is taken out before it can be marked, or nearly so.
func TestExportWhileUsersEvictEachOther(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		failing(looker, lookertest.OpLoginUser, delayed(time.Millisecond))
		cache := newCache(t, looker, maxUsers(1))
		together(40, func(i int) {
			for range 20 {
				export(t, cache.User(nthUser(i)), 0)
			}
		})
	})
}

func TestLogoutThatFailedCanBeRepeated(t *testing.T) {
	for name, logOut := range map[string]func(context.Context, *lookerauth.Cache) error{
		"Logout": func(ctx context.Context, cache *lookerauth.Cache) error {
			return cache.User("789").Logout(ctx)
		},
		"LogoutAll": func(ctx context.Context, cache *lookerauth.Cache) error {
			return cache.LogoutAll(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			fleetOrNot(t, func(t *testing.T, looker *lookertest.Server, with option) {
				cache := newCache(t, looker, with)
				stolen := export(t, cache.User("789"), 0)
				failing(looker, lookertest.OpLogout, answered(503))
				callError(t, logOut(t.Context(), cache))
				checkAccepted(t, looker, stolen, true)
				healthy(looker)
				checkError(t, logOut(t.Context(), cache), nil)
				checkAccepted(t, looker, stolen, false)
			})
		})
	}
}

// Another request finds the token in the Store before Logout has taken it out of there.
func TestTokenThatLogoutEndsIsNotServedAfterwards(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user := newCache(t, looker, withStore(store)).User("789")
		accessToken(t, user)
		time.Sleep(time.Second)
		store.onCall(func(string) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
		done := inBackground(func() error { return user.Logout(t.Context()) })
		time.Sleep(time.Millisecond)
		accessToken(t, user)
		checkError(t, <-done, nil)
		store.works()
		checkAccepted(t, looker, export(t, user, 0), true)
	})
}

func TestLogoutAllDiscardsLoginsUnderWay(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		fleet := newFleet(t, looker, 2, withStore(store))
		stolen := accessToken(t, fleet[0].User("789"))
		store.onCall(func(string) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		var got string
		done := make(chan struct{})
		go func() {
			defer close(done)
			got = accessToken(t, fleet[1].User("789"))
		}()
		time.Sleep(50 * time.Millisecond)
		checkError(t, fleet[1].LogoutAll(t.Context()), nil)
		<-done
		if got == stolen {
			t.Error("a token from before was served")
		}
		for _, cache := range fleet {
			closeCache(t, cache)
		}
	})
}

// Whoever has an exported token can not be helped by a replay.
func TestNoTokenOfUnknownAgeIsExported(t *testing.T) {
	for _, by := range []time.Duration{-5 * time.Hour, -time.Minute, time.Minute, 5 * time.Hour} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			clock := &steppedClock{}
			cache := newCache(t, looker, withClock(clock))
			export(t, cache.User("789"), 0)
			time.Sleep(30 * time.Second)
			clock.step(by)
			token := export(t, cache.User("789"), 50*time.Minute)
			if token.ExpiresIn > 3600 {
				t.Errorf("stepped by %v: it is to live for %d s", by, token.ExpiresIn)
			}
			time.Sleep(50 * time.Minute)
			checkAccepted(t, looker, token, true)
		})
	}
}

// A page's wish for a long life is not one for the service account's.
func TestExportTakesTheServiceAccountsTokenFromTheStore(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		fleet := newFleet(t, looker, 3, withStore(newMemoryStore()))
		accessToken(t, fleet[0].ServiceAccount())
		time.Sleep(20 * time.Minute)
		export(t, fleet[1].User("789"), 50*time.Minute)
		checkCalls(t, looker, 1, 1)
	})
}

// What is left of a token from elsewhere is no measure of how long such tokens live.
func TestTokenFromElsewhereIsExportedIfItHasEnoughLeft(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		left, calls := 20*time.Minute, 0
		cache := newCache(t, looker, withUserToken(func(
			context.Context, lookerauth.UserTokenRequest,
		) (*oauth2.Token, error) {
			if calls++; calls > 1 {
				left = time.Hour
			}
			token := &oauth2.Token{AccessToken: fmt.Sprint("token", calls)}
			token.Expiry = time.Now().Add(left)
			return token, nil
		}))
		accessToken(t, cache.User("789"))
		export(t, cache.User("789"), 19*time.Minute)
		export(t, cache.User("789"), 30*time.Minute)
		if calls != 2 {
			t.Errorf("%d calls", calls)
		}
		checkErrorSays(t, exportFails(t, cache.User("789"), 2*time.Hour), "MinLife is 2h0m0s")
		if calls > 5 {
			t.Errorf("%d calls", calls)
		}
	})
}

// A source that says ExpiresIn of a token that it keeps has it live for longer each time.
func TestExportedTokenFromElsewhereIsEndedHoweverOften(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetTokenLife(10 * time.Hour)
		give := must(mint(looker, "789"))
		cache := newCache(t, looker, withUserToken(func(
			_ context.Context, req lookerauth.UserTokenRequest,
		) (*oauth2.Token, error) {
			if req.UserID != "789" {
				return &oauth2.Token{AccessToken: "other" + req.UserID, ExpiresIn: 3600}, nil
			}
			return &oauth2.Token{AccessToken: give.AccessToken, ExpiresIn: 3600}, nil
		}))
		user := cache.User("789")
		exported := export(t, user, 0)
		time.Sleep(58 * time.Minute)
		accessToken(t, user)
		time.Sleep(5 * time.Minute)
		useUsers(t, cache, 5)
		give = must(mint(looker, "789"))
		time.Sleep(53 * time.Minute)
		accessToken(t, user)
		time.Sleep(time.Second)
		logOut(t, user)
		checkAccepted(t, looker, exported, false)
	})
}

// The look-up has its own time, and must not have a refresh token be lost that is being used up.
func TestLookUpTakesNoTimeFromUserToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setCustomer(looker, "789")
		looker.FailNext(lookertest.OpAPI, delayed(11*time.Second), delayed(11*time.Second),
			delayed(8*time.Second))
		var cut atomic.Bool
		cache := newCache(t, looker, withUserToken(func(
			ctx context.Context, _ lookerauth.UserTokenRequest,
		) (*oauth2.Token, error) {
			select {
			case <-time.After(25 * time.Second):
			case <-ctx.Done():
				cut.Store(true)
			}
			return &oauth2.Token{AccessToken: "token", ExpiresIn: 3600}, nil
		}))
		if accessToken(t, cache.As(customer)); cut.Load() {
			t.Error("it was cut short")
		}
	})
}
