package lookerauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestConcurrentFirstRequestsLogInOncePerUser(t *testing.T) {
	looker := lookertest.NewServer(nil)
	defer looker.Close()
	cache := newCache(t, looker)
	client := &http.Client{Transport: cache.Transport(nil)}

	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			user := fmt.Sprint(i % 20)
			ctx := lookerauth.WithUser(t.Context(), user)
			if got := whoAnswered(t, ctx, client, looker.URL+"/api/4.0/looks"); got != user {
				t.Errorf("request of user %s was answered as %q", user, got)
			}
		})
	}
	wg.Wait()
	checkCalls(t, looker, 1, 20)
}

func TestHandlesOfOneUserShareItsToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		one, other := cache.User("789"), cache.User("789")
		first := accessToken(t, one)
		if accessToken(t, other) != first {
			t.Error("two tokens")
		}
		other.Invalidate(must(other.Token()))
		second := accessToken(t, one)
		if second == first || accessToken(t, other) != second {
			t.Error("a handle serves a token that was dropped")
		}
		time.Sleep(59 * time.Minute)
		accessToken(t, one)
		synctest.Wait()
		if third := accessToken(t, other); third == second || accessToken(t, one) != third {
			t.Error("a handle serves a token that was replaced")
		}
	})
}

func TestTokenIsOneForOAuth2(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var source oauth2.TokenSource = newCache(t, looker).User("789")
		token, err := source.Token()
		if err != nil {
			t.Fatal(err)
		}
		if want := time.Now().Add(time.Hour); !token.Expiry.Equal(want) {
			t.Errorf("expires at %v, want the true %v", token.Expiry, want)
		}
		if got := token.Extra("token_type"); got != "Bearer" {
			t.Errorf("token_type is %v, want what Looker said", got)
		}
		req := &http.Request{Header: http.Header{}}
		token.SetAuthHeader(req)
		if got := req.Header.Get("Authorization"); got != "token "+token.AccessToken {
			t.Errorf("oauth2 writes %q", got)
		}
	})
}

func TestTokenTypeIsWhatLookerSaid(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Body: `{"access_token":"a","token_type":"token","expires_in":3600}`})
		token, err := newCache(t, looker).ServiceAccount().Token()
		if err != nil || token.Extra("token_type") != "token" {
			t.Errorf("token_type is %v, error %v", token.Extra("token_type"), err)
		}
	})
}

// Not in a bubble, whose times have none.
func TestExpiryHasNoMonotonicTime(t *testing.T) {
	looker := lookertest.NewInMemoryServer(nil)
	defer looker.Close()
	token, err := newCache(t, looker).User("789").Token()
	if err != nil {
		t.Fatal(err)
	}
	if token.Expiry != token.Expiry.Round(0) {
		t.Errorf("%v stops while a machine sleeps, and tokens age all the same", token.Expiry)
	}
}

func TestReuseTokenSourcesOfOneUserDoNotRace(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if token, err := oauth2.ReuseTokenSource(nil, user).Token(); err != nil || !token.Valid() { // writes to the token
					t.Errorf("got %v, %v", token, err)
				}
			})
		}
		wg.Wait()
		checkCalls(t, looker, 1, 1)
	})
}

func TestFreshTokenCostsNoAllocation(t *testing.T) {
	looker := lookertest.NewInMemoryServer(nil)
	defer looker.Close()
	cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Transport = answerLogins() })
	kept, ctx := cache.User("789"), t.Context()
	for name, get := range map[string]func() (*oauth2.Token, error){
		"a kept TokenSource": func() (*oauth2.Token, error) { return kept.TokenContext(ctx) },
		"a user's id":        func() (*oauth2.Token, error) { return cache.User("789").TokenContext(ctx) },
	} {
		if n := testing.AllocsPerRun(100, func() { must(get()) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestCallerLeavesWhenItsContextEndsAndTheLoginIsKept(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: 700 * time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()

		before := time.Now()
		if _, err := user.TokenContext(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v, want the context's own error", err)
		}
		if waited := time.Since(before); waited != 100*time.Millisecond {
			t.Errorf("left after %v", waited)
		}
		accessToken(t, user)
		if waited := time.Since(before); waited != 700*time.Millisecond {
			t.Errorf("the next caller had its token after %v", waited)
		}
		checkCalls(t, looker, 1, 1)
	})
}

func TestEndedContextStartsNoLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := newCache(t, looker).User("789").TokenContext(ctx); err != context.Canceled {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		checkCalls(t, looker, 0, 0)
	})
}

func TestInvalidUserIDIsRefusedWithoutACall(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		for _, userID := range []string{"", ".", "..", "a\nb", "\x00", "\u0085", strings.Repeat("x", 256)} {
			user := cache.User(userID)
			if _, err := user.Token(); !errors.Is(err, lookerauth.ErrInvalidUserID) {
				t.Errorf("%q: got %v", userID, err)
			}
			if err := user.Logout(t.Context()); !errors.Is(err, lookerauth.ErrInvalidUserID) {
				t.Errorf("Logout of %q: got %v", userID, err)
			}
		}
		checkCalls(t, looker, 0, 0)
	})
}

func TestInvalidateDropsOnlyTheCurrentToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		first, err := user.Token()
		if err != nil {
			t.Fatal(err)
		}
		user.Invalidate(nil)
		user.Invalidate(&oauth2.Token{AccessToken: "another"})
		if accessToken(t, user) != first.AccessToken {
			t.Error("the token was dropped for another one's sake")
		}
		user.Invalidate(first)
		second := accessToken(t, user)
		if second == first.AccessToken {
			t.Error("the rejected token was served again")
		}
		user.Invalidate(first)
		if accessToken(t, user) != second {
			t.Error("the token was dropped for its predecessor's sake")
		}
	})
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(5))
		looker.SetTokenLife(20 * time.Second)
		client := &http.Client{Transport: cache.Transport(nil)}
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := range 300 {
					user := fmt.Sprint((worker + i) % 9)
					switch source := cache.User(user); i % 60 {
					case 20:
						looker.Revoke(user)
					case 40:
						_ = source.Logout(t.Context())
					case 50:
						source.Invalidate(must(source.Token()))
					}
					ctx := lookerauth.WithUser(t.Context(), user)
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, looker.URL+"/api/4.0/looks", nil)
					resp, err := client.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					var a answer
					_ = json.NewDecoder(resp.Body).Decode(&a)
					resp.Body.Close()
					if resp.StatusCode == http.StatusOK && a.UserID != user {
						t.Errorf("user %s was answered as %q", user, a.UserID)
					}
					_ = cache.Stats()
					time.Sleep(time.Duration(worker+1) * 100 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if err := cache.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive at Looker: %v", alive)
		}
	})
}
