package lookerauth_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestConcurrentFirstRequestsLogInOncePerUser(t *testing.T) {
	looker := lookertest.New(t)
	cache := newCache(t, looker)
	client := &http.Client{Transport: cache.Transport(nil)}

	together(400, func(i int) {
		user := nthUser(i % 20)
		ctx := lookerauth.WithUser(t.Context(), user)
		answersContextAs(t, ctx, client, looker, user)
	})
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
		invalidate(t, other)
		second := accessToken(t, one)
		if second == first || accessToken(t, other) != second {
			t.Error("a handle serves a token that was invalidated")
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
		token := must(source.Token())
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
		body := `{"access_token":"a","token_type":"token","expires_in":3600}`
		looker.FailNext(lookertest.OpLogin, answeredBody(body))
		token := must(newCache(t, looker).ServiceAccount().Token())
		if got := token.Extra("token_type"); got != "token" {
			t.Errorf("token_type is %v", got)
		}
	})
}

// Not in a bubble, whose times have none.
func TestExpiryHasNoMonotonicTime(t *testing.T) {
	looker := lookertest.New(t, lookertest.InMemory())
	token := must(newCache(t, looker).User("789").Token())
	if token.Expiry != token.Expiry.Round(0) {
		t.Errorf("%v stops while a machine sleeps, and tokens age all the same", token.Expiry)
	}
}

func TestReuseTokenSourcesOfOneUserDoNotRace(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		together(10, func(int) {
			token, err := oauth2.ReuseTokenSource(nil, user).Token() // writes to the token
			if err != nil || !token.Valid() {
				t.Errorf("got %v, %v", token, err)
			}
		})
		checkCalls(t, looker, 1, 1)
	})
}

func TestFreshTokenCostsNoAllocation(t *testing.T) {
	looker := lookertest.New(t, lookertest.InMemory())
	cache := newCache(t, looker, withTransport(answerLogins()))
	kept, ctx := cache.User("789"), t.Context()
	for name, get := range map[string]func(){
		"a kept TokenSource": func() { must(kept.TokenContext(ctx)) },
		"a user's id":        func() { must(cache.User("789").TokenContext(ctx)) },
	} {
		if n := testing.AllocsPerRun(100, get); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestCallerLeavesWhenItsContextEndsAndTheLoginIsKept(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		failing(looker, lookertest.OpLoginUser, delayed(700*time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()

		before := time.Now()
		if _, err := user.TokenContext(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v, want the context's own error", err)
		}
		checkTook(t, before, 100*time.Millisecond)
		accessToken(t, user)
		checkTook(t, before, 700*time.Millisecond)
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
		for _, userID := range []string{
			"", ".", "..", "a\nb", "\x00", "\u0085", strings.Repeat("x", 256),
		} {
			user := cache.User(userID)
			failsWith(t, user, lookerauth.ErrInvalidIdentity)
			checkError(t, user.Logout(t.Context()), lookerauth.ErrInvalidIdentity)
		}
		checkCalls(t, looker, 0, 0)
	})
}

func TestOnlyTheCurrentTokenIsInvalidated(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		first := must(user.Token())
		user.Invalidate(nil)
		user.Invalidate(&oauth2.Token{AccessToken: "another"})
		if accessToken(t, user) != first.AccessToken {
			t.Error("the token was invalidated for another one's sake")
		}
		user.Invalidate(first)
		second := accessToken(t, user)
		if second == first.AccessToken {
			t.Error("the rejected token was served again")
		}
		user.Invalidate(first)
		if accessToken(t, user) != second {
			t.Error("the token was invalidated for the sake of the one that it replaced")
		}
	})
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(5))
		looker.SetTokenLife(20 * time.Second)
		client := &http.Client{Transport: cache.Transport(nil)}
		together(8, func(worker int) {
			for i := range 300 {
				user := nthUser((worker + i) % 9)
				switch source := cache.User(user); i % 60 {
				case 20:
					looker.Revoke(user)
				case 40:
					_ = source.Logout(t.Context())
				case 50:
					invalidate(t, source)
				}
				ctx := lookerauth.WithUser(t.Context(), user)
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, looker.URL+looks, nil)
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
		synctest.Wait()
		closeCache(t, cache)
		checkNoneAlive(t, looker)
	})
}
