package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestCloseLogsEverybodyOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		var last atomic.Value
		looker.FailFunc(func(call lookertest.Call) *lookertest.Fault {
			if call.Op == lookertest.Logout {
				last.Store(call.UserID)
			}
			return nil
		})
		user := cache.User("0")
		for i := range 40 {
			accessToken(t, cache.User(fmt.Sprint(i)))
		}
		accessToken(t, user)
		time.Sleep(58 * time.Minute)
		accessToken(t, user) // an old token and a new one
		synctest.Wait()
		time.Sleep(time.Second)
		cfg := cache.Stats()

		if err := cache.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive at Looker: %v", alive)
		}
		if last.Load() != lookertest.ServiceAccount {
			t.Errorf("%q was logged out last, want the service account", last.Load())
		}
		if n := cache.Stats().Logouts - cfg.Logouts; n != 43 {
			t.Errorf("%d logouts, want 40 users, the service account, and an old token of it and of one user", n)
		}
		for _, source := range []*lookerauth.TokenSource{user, cache.User("99"), cache.ServiceAccount()} {
			if _, err := source.Token(); !errors.Is(err, lookerauth.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
		if _, err := user.Client().Get(looker.URL); !errors.Is(err, lookerauth.ErrClosed) {
			t.Errorf("request after Close: %v", err)
		}
		if err := user.Logout(t.Context()); !errors.Is(err, lookerauth.ErrClosed) {
			t.Errorf("Logout after Close: %v", err)
		}
		if err := cache.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestTokenThatLivesLongerAtLookerIsLoggedOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: 5 * time.Second})
		accessToken(t, cache.User("789"))
		time.Sleep(time.Hour - 4*time.Second) // expired here, where life starts with the request; not there
		if n := looker.Alive()["789"]; n != 1 {
			t.Fatalf("%d tokens alive before Close", n)
		}
		if err := cache.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive at Looker: %v", alive)
		}
	})
}

func TestExpiredTokensAreNotLoggedOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.User("789"))
		time.Sleep(2 * time.Hour)
		if err := cache.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := looker.Calls(lookertest.Logout); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestNothingIsServedWhileCloseWaits(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		slow := false
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(context.Context, string, *http.Client) error {
				if slow {
					time.Sleep(time.Minute)
				}
				return nil
			}
		})
		accessToken(t, cache.User("789"))
		slow = true
		go func() { _, _ = cache.User("790").Token() }()
		synctest.Wait()
		go func() { _ = cache.Close(t.Context()) }()
		synctest.Wait()
		if _, err := cache.User("789").Token(); !errors.Is(err, lookerauth.ErrClosed) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
	})
}

func TestSecondCloseDoesNotCutTheFirstShort(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(1))
		looker.Fail(lookertest.Logout, -1, lookertest.Fault{Delay: time.Second})
		accessToken(t, cache.User("1"))
		accessToken(t, cache.User("2")) // evicts the other, whose logout takes a second
		closed := make(chan error)
		go func() { closed <- cache.Close(t.Context()) }()
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := cache.Close(ended); err != nil {
			t.Errorf("the second Close: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("the first Close: %v", err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive at Looker: %v", alive)
		}
	})
}

func TestCloseCancelsLoginsUnderWay(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: time.Minute})
		waiter := make(chan error)
		go func() {
			_, err := cache.User("789").Token()
			waiter <- err
		}()
		synctest.Wait()
		before := time.Now()
		closed := make(chan error)
		go func() { closed <- cache.Close(t.Context()) }()
		if err := <-waiter; !errors.Is(err, lookerauth.ErrClosed) {
			t.Errorf("the waiter got %v", err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("Close took %v", waited)
		}
	})
}

func TestCloseEndsLoginsThatWaitForAnotherTry(t *testing.T) {
	for name, fault := range map[string]lookertest.Fault{
		"backoff": {Status: 503},
		"pause":   {Status: 429, Header: http.Header{"Retry-After": {"20"}}},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker)
				accessToken(t, cache.ServiceAccount())
				looker.Fail(lookertest.LoginUser, -1, fault)
				errs := make(chan error)
				for _, userID := range []string{"789", "790"} { // the second finds logins paused
					go func() {
						_, err := cache.User(userID).Token()
						errs <- err
					}()
					synctest.Wait()
				}
				before := time.Now()
				closed := make(chan error)
				go func() { closed <- cache.Close(t.Context()) }()
				for range 2 {
					if err := <-errs; !errors.Is(err, lookerauth.ErrClosed) {
						t.Errorf("a waiter got %v", err)
					}
				}
				if waited := time.Since(before); waited != 0 {
					t.Errorf("the waiters left after %v", waited)
				}
				if err := <-closed; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestLoginThatIgnoresCloseLeavesNoToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(context.Context, string, *http.Client) error {
				time.Sleep(time.Second)
				return nil
			}
		})
		waiter, closed := make(chan error), make(chan error)
		go func() {
			_, err := cache.ServiceAccount().Token()
			waiter <- err
		}()
		synctest.Wait()
		go func() { closed <- cache.Close(t.Context()) }()
		if err := <-waiter; !errors.Is(err, lookerauth.ErrClosed) {
			t.Errorf("the waiter got %v", err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive at Looker: %v", alive)
		}
	})
}

func TestCloseEndsWithItsContextAndSaysWhatIsLeft(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(2))
		for i := range 3 {
			accessToken(t, cache.User(fmt.Sprint(i)))
		}
		synctest.Wait()
		looker.Fail(lookertest.Logout, -1, lookertest.Fault{Delay: time.Hour})
		accessToken(t, cache.User("4")) // its eviction waits for Looker
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		err := cache.Close(ctx)
		if err == nil || !strings.Contains(err.Error(), "3 of 3") || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(before); waited != time.Second {
			t.Errorf("Close took %v", waited)
		}
	})
}
