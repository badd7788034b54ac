package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestFailedUserTokenIsHeldDownAndNotTriedAgain(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		source.set(withdrawn, nil)
		user := cache.User("789")
		calls := 0
		for _, holdDown := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			calls++
			_, first := user.Token()
			checkError(t, first, errWithdrawn)
			failed := callError(t, first)
			if failed.Op != "user_token" || failed.Identity != lookerauth.User("789") ||
				failed.StatusCode != 0 {
				t.Errorf("got %+v", failed)
			}
			source.check(t, calls)
			time.Sleep(holdDown*time.Second - time.Millisecond)
			if _, err := user.Token(); !isAgain(err, first) {
				t.Errorf("another error before %d s: %v", holdDown, err)
			}
			source.check(t, calls)
			time.Sleep(time.Millisecond)
		}
		if n := cache.Stats().UserLogins.Failed.Other; n != uint64(calls) {
			t.Errorf("%d failures were counted, want %d", n, calls)
		}
		if h := cache.Health(); !errors.Is(h.Users.Err, errWithdrawn) && h.Users.Err != nil {
			t.Errorf("%+v", h)
		}
		source.set(nil, nil)
		answersAs(t, user.Client(), looker, "789")
	})
}

// What an error wraps says nothing of Looker: it may come from another Cache.
func TestErrorOfUserTokenIsNotTakenForLookers(t *testing.T) {
	for _, err := range []error{
		lookerauth.ErrUserNotFound, lookerauth.ErrRateLimited, lookerauth.ErrBadAPIKey,
		&lookerauth.CallError{Op: "login_user", StatusCode: 503, Identity: lookerauth.User("789")},
	} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache, source := newElsewhereCache(t, looker)
			source.set(func(context.Context) error { return err }, nil)
			_, got := cache.User("789").Token()
			checkError(t, got, err)
			if op := callError(t, got).Op; op != "user_token" {
				t.Errorf("the error is of %s", op)
			}
			source.set(nil, nil)
			accessToken(t, cache.User("790"))
			time.Sleep(time.Second) // not longer
			accessToken(t, cache.User("789"))
			source.check(t, 3)
		})
	}
}

// Those of x/oauth2 have the answer's body in a line of its own.
func TestErrorOfUserTokenIsOneLine(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		retrieve := &oauth2.RetrieveError{
			Response: &http.Response{Status: "502 Bad Gateway"}, Body: []byte("<p>\r\nBad\n</p>\n"),
		}
		source.set(func(context.Context) error { return retrieve }, nil)
		_, err := cache.User("789").Token()
		checkErrorSays(t, err, "502 Bad Gateway", "<p>", "Bad", "</p>")
		if strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("it has several lines: %q", err)
		}
		if got := (*oauth2.RetrieveError)(nil); !errors.As(err, &got) || got != retrieve {
			t.Errorf("the cause is gone: %v", err)
		}
	})
}

// Whoever uses a token that comes from elsewhere may find any of these in an error.
func TestErrorOfUserTokenTellsNoTokenOfBefore(t *testing.T) {
	const refresh = "1//refresh-token"
	for _, idle := range []time.Duration{0, 5 * time.Minute, 12 * time.Hour} {
		t.Run(idle.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache, source := newElsewhereCache(t, looker)
				var access string
				source.set(nil, func(t *oauth2.Token) *oauth2.Token {
					t.RefreshToken, access = refresh, t.AccessToken
					return t
				})
				user := cache.User("789")
				accessToken(t, user)
				source.set(nil, nil)
				time.Sleep(idle)
				accessToken(t, cache.User("790")) // what has ended is forgotten then
				invalidate(t, user)
				source.set(func(context.Context) error {
					return fmt.Errorf("cannot refresh %s: reused %s", refresh, access)
				}, nil)
				_, err := user.Token()
				checkErrorSays(t, err, "cannot refresh", "[secret]")
				if strings.Contains(err.Error(), refresh) ||
					idle < time.Hour && strings.Contains(err.Error(), access) {
					t.Errorf("it tells a token: %v", err)
				}
			})
		})
	}
}

// A refresh token that it is using up must not be lost.
func TestCallOfUserTokenGoesOnWhenItsCallersLeave(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		var cancelled atomic.Bool
		source.set(func(ctx context.Context) error {
			err := lasting(20 * time.Second)(ctx)
			cancelled.Store(err != nil)
			return err
		}, nil)
		user := cache.User("789")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		together(5, func(int) {
			_, err := user.TokenContext(ctx)
			checkError(t, err, context.DeadlineExceeded)
		})
		time.Sleep(time.Minute)
		if cancelled.Load() {
			t.Error("it was cancelled")
		}
		answersAs(t, user.Client(), looker, "789")
		source.check(t, 1)
	})
}

func TestLoginTimeoutEndsACallOfUserToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker, loginTimeout(20*time.Second))
		source.set(func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}, nil)
		start := time.Now()
		_, err := cache.User("789").Token()
		checkTook(t, start, 20*time.Second)
		checkError(t, err, context.DeadlineExceeded)
		checkErrorSays(t, err, "UserToken", "LoginTimeout, 20s")
		if strings.Contains(err.Error(), "base URL") {
			t.Errorf("it has nothing to do with Looker: %v", err)
		}
		if !callError(t, err).Timeout() {
			t.Errorf("no time-out: %v", err)
		}
	})
}

func TestCloseEndsACallOfUserToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		var cause error
		source.set(func(ctx context.Context) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return ctx.Err()
		}, nil)
		done := tokenInBackground(cache.User("789"))
		synctest.Wait()
		start := time.Now()
		closeCache(t, cache)
		checkTook(t, start, 0)
		checkError(t, <-done, lookerauth.ErrClosed)
		checkError(t, cause, lookerauth.ErrClosed)
	})
}

func TestUserTokenThatBreaksIsAnErrorForEveryWaiter(t *testing.T) {
	const secret = "hunter2"
	for how, breakDown := range map[string]func(){
		"panic":         func() { panic(secret) },
		"runtime error": func() { _ = []int{}[len(secret)] },
		"Goexit":        exit,
	} {
		t.Run(how, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache, source := newElsewhereCache(t, looker)
				source.set(func(context.Context) error {
					time.Sleep(time.Second) // lets the others join
					breakDown()
					return nil
				}, nil)
				user := cache.User("789")
				together(10, func(int) {
					_, err := user.Token()
					if op := callError(t, err).Op; op != "user_token" ||
						strings.Contains(err.Error(), secret) {
						t.Errorf("got %v", err)
					}
				})
				source.set(nil, nil)
				time.Sleep(time.Second) // the hold-down
				accessToken(t, user)
				source.check(t, 2)
			})
		})
	}
}

// One that outlasts its context no longer counts, whatever it returns at last.
func TestUserTokenThatHangsIsGivenUp(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		source.set(func(context.Context) error {
			time.Sleep(time.Hour)
			return nil
		}, nil)
		user := cache.User("789")
		start := time.Now()
		together(5, func(int) {
			_, err := user.Token()
			checkErrorSays(t, err, "UserToken", "LoginTimeout")
		})
		if took := time.Since(start); took > 31*time.Second {
			t.Errorf("callers waited for %v", took)
		}
		source.set(nil, nil)
		time.Sleep(time.Second)
		token := accessToken(t, user)
		source.check(t, 2)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if accessToken(t, user) != token {
			t.Error("the late token is served")
		}
		time.Sleep(time.Hour)
		checkLogouts(t, looker, 0)
	})
}

func TestCloseEndsWithItsContextWhileUserTokenHangs(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		source.set(func(context.Context) error {
			time.Sleep(time.Hour)
			return nil
		}, nil)
		tokenInBackground(cache.User("789"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		checkError(t, cache.Close(ctx), context.DeadlineExceeded)
		checkTook(t, start, time.Second)
		time.Sleep(time.Hour)
	})
}

func TestUserTokenMayAskTheCacheForOthers(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var cache *lookerauth.Cache
		cache = newCache(t, looker, withUserToken(
			func(ctx context.Context, req lookerauth.UserTokenRequest) (*oauth2.Token, error) {
				if _, err := cache.ServiceAccount().TokenContext(ctx); err != nil {
					return nil, err
				}
				return mint(looker, req.UserID)
			}))
		answersAs(t, cache.User("789").Client(), looker, "789")
	})
}

func TestCredentialIsLookedUpBeforeUserToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		source := newElsewhere(looker)
		cache := newCache(t, looker, withUserToken(source.userToken))
		who := lookerauth.UserByCredential(lookerauth.CredentialEmbed, "customer-42")
		customer := cache.As(who)
		is := func(id string) {
			credentials := map[lookerauth.CredentialType]string{
				lookerauth.CredentialEmbed: "customer-42",
			}
			looker.SetUsers(lookertest.User{ID: id, Credentials: credentials})
		}
		is("789")
		answersAs(t, customer.Client(), looker, "789")
		want := lookerauth.UserTokenRequest{Identity: who, UserID: "789"}
		if req := source.check(t, 1); req != want {
			t.Errorf("asked for %v", req)
		}
		is("790") // another one from now on
		rejected := accessToken(t, customer)
		looker.Revoke("789")
		answersAs(t, customer.Client(), looker, "790")
		want = lookerauth.UserTokenRequest{Identity: who, UserID: "790", Rejected: rejected}
		if req := source.check(t, 2); req != want {
			t.Errorf("asked for %v", req)
		}
		looker.SetUsers()
		invalidate(t, customer)
		failsWith(t, customer, lookerauth.ErrUserNotFound)
		source.check(t, 2)
	})
}

func TestWithoutAPIKeyThereIsNoServiceAccount(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		for _, store := range []option{nil, withStore(newMemoryStore())} {
			options := slices.DeleteFunc([]option{store}, func(o option) bool { return o == nil })
			cache, source := newElsewhereCache(t, looker, options...)
			for _, who := range []lookerauth.Identity{
				lookerauth.ServiceAccount(),
				lookerauth.UserByCredential(lookerauth.CredentialEmail, "ann@example.com"),
			} {
				of := cache.As(who)
				failsWith(t, of, lookerauth.ErrNoServiceAccount)
				_, err := of.Export(t.Context(), lookerauth.ExportOptions{})
				checkError(t, err, lookerauth.ErrNoServiceAccount)
				_, err = of.Client().Get(looker.URL + looks)
				checkError(t, err, lookerauth.ErrNoServiceAccount)
				checkError(t, of.Logout(t.Context()), lookerauth.ErrNoServiceAccount)
				of.Invalidate(&oauth2.Token{AccessToken: "4QDk"})
			}
			source.check(t, 0)
			if h := cache.Health(); h.ServiceAccount != (lookerauth.LoginHealth{}) {
				t.Errorf("%+v", h)
			}
			if err := cache.LogoutAll(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if calls := looker.Requests(); len(calls) > 0 {
			t.Errorf("%d calls of Looker's", len(calls))
		}
	})
}

func TestAPIKeyIsNeededUnlessUserTokenIsSet(t *testing.T) {
	set := withUserToken(newElsewhere(nil).userToken)
	for name, tt := range map[string]struct {
		options []option
		why     string // "" if it is valid
	}{
		"neither":    {[]option{withoutKey}, "ClientID"},
		"UserToken":  {[]option{withoutKey, set}, ""},
		"both":       {[]option{set}, ""},
		"half a key": {[]option{withKey("", testSecret), set}, "ClientID"},
		"other half": {[]option{withKey(testID, ""), set}, "ClientSecret"},
	} {
		cfg := testConfig()
		for _, option := range tt.options {
			option(&cfg)
		}
		switch _, err := lookerauth.New(cfg); {
		case tt.why != "":
			checkErrorSays(t, err, tt.why)
		case err != nil:
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorThatComesWithATokenDoesNotTellIt(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		token := &oauth2.Token{AccessToken: "a-token-of-the-user", RefreshToken: "a-refresh-token"}
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.UserToken = func(
				context.Context, lookerauth.UserTokenRequest,
			) (*oauth2.Token, error) {
				return token, fmt.Errorf("no use: %s %s", token.AccessToken, token.RefreshToken)
			}
		})
		_, err := cache.User("789").Token()
		checkErrorSays(t, err, "no use: ")
		for _, secret := range []string{token.AccessToken, token.RefreshToken} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%v tells %s", err, secret)
			}
		}
	})
}
