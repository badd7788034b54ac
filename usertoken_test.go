package lookerauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestTokenFromElsewhereIsCachedAndRefreshed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		user := cache.User("789")
		together(20, func(int) { answersAs(t, user.Client(), looker, "789") })
		want := lookerauth.UserTokenRequest{Identity: lookerauth.User("789"), UserID: "789"}
		if req := source.check(t, 1); req != want {
			t.Errorf("asked for %v", req)
		}
		first := accessToken(t, user)

		time.Sleep(58 * time.Minute)
		if accessToken(t, user) != first {
			t.Error("a caller has waited for a refresh")
		}
		synctest.Wait()
		if req := source.check(t, 2); req != want {
			t.Errorf("asked for %v", req)
		}
		if accessToken(t, user) == first {
			t.Error("the token was not refreshed")
		}
		answersAs(t, user.Client(), looker, "789")
		stats := cache.Stats()
		if l := stats.UserLogins; l.Granted != 1 || l.Refreshed != 1 || stats.Logins != 2 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestUserTokenIsToldWhichTokenWasRejected(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		user := cache.User("789")
		reject := func(calls int, how func()) {
			t.Helper()
			rejected := accessToken(t, user)
			how()
			answersAs(t, user.Client(), looker, "789")
			if got := source.check(t, calls).Rejected; got != rejected {
				t.Errorf("%q was rejected, but %q is named", rejected, got)
			}
		}
		reject(2, func() { looker.Revoke("789") })
		reject(3, func() { invalidate(t, user) })
		time.Sleep(58 * time.Minute)
		accessToken(t, user) // which is refreshed
		synctest.Wait()
		if got := source.check(t, 4).Rejected; got != "" {
			t.Errorf("%q is named in a refresh", got)
		}
	})
}

// It takes as many requests as there are at once no more calls.
func TestRejectedTokenFromElsewhereIsReplacedOnce(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		accessToken(t, cache.User("789"))
		looker.Revoke("789")
		together(20, func(int) { answersAs(t, cache.User("789").Client(), looker, "789") })
		source.check(t, 2)
	})
}

func TestTokenFromElsewhereIsSentAsLookerDocumentsIt(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var sent string
		base := withTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
			sent = req.Header.Get("Authorization")
			return looker.Transport().RoundTrip(req)
		}))
		cache, source := newElsewhereCache(t, looker, base)
		source.set(nil, func(t *oauth2.Token) *oauth2.Token {
			t.TokenType = "bearer"
			return t
		})
		user := cache.User("789")
		answersAs(t, user.Client(), looker, "789")
		if want := "token " + accessToken(t, user); sent != want {
			t.Errorf("sent %q, want %q", sent, want)
		}
	})
}

// At Looker that would end the refresh token, too.
func TestTokenFromElsewhereIsLoggedOutByLogoutOnly(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		failing := errors.New("no workspace")
		var fails bool
		cache, source := newElsewhereCache(t, looker, maxUsers(1), afterLogin(func() error {
			if fails {
				return failing
			}
			return nil
		}))
		user, other := cache.User("789"), cache.User("790")
		accessToken(t, user)
		accessToken(t, other) // evicts
		time.Sleep(58 * time.Minute)
		accessToken(t, other) // refreshes
		synctest.Wait()
		invalidate(t, other)
		accessToken(t, other) // replaces
		fails = true
		_, err := user.Token()
		checkError(t, err, failing)
		if op := callError(t, err).Op; op != "user_token" {
			t.Errorf("the error is of %s", op)
		}
		closeCache(t, cache)
		source.check(t, 5)
		checkLogouts(t, looker, 0)
		checkAlive(t, looker, "789", 2)
		checkAlive(t, looker, "790", 3)
	})
}

func TestLogoutEndsTokensFromElsewhere(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		user := cache.User("789")
		accessToken(t, user)
		invalidate(t, user)
		accessToken(t, user)
		accessToken(t, cache.User("790"))
		logOut(t, user)
		checkAlive(t, looker, "789", 0) // the rejected one included
		checkAlive(t, looker, "790", 1)

		accessToken(t, user)
		if req := source.check(t, 4); req.Rejected != "" {
			t.Errorf("%q is named after Logout", req.Rejected)
		}
		if err := cache.LogoutAll(t.Context()); err != nil {
			t.Error(err)
		}
		checkAlive(t, looker, "789", 0)
		checkAlive(t, looker, "790", 0)
	})
}

func TestLogoutEndsATokenThatIsOnItsWay(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		source.set(lasting(time.Second), nil)
		done := tokenInBackground(cache.User("789"))
		synctest.Wait()
		logOut(t, cache.User("789"))
		if err := <-done; err != nil { // of a second call
			t.Error(err)
		}
		synctest.Wait()
		source.check(t, 2)
		checkAlive(t, looker, "789", 1)
	})
}

// lasting is what a call meets that takes so long, unless its context ends.
func lasting(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestAnswerOfUserTokenIsBelievedAsFarAsItMakesSense(t *testing.T) {
	now := synctestEpoch
	for name, tt := range map[string]struct {
		token *oauth2.Token
		life  time.Duration // 0 for a refused one
		why   string
	}{
		"nothing":    {nil, 0, "neither a token nor an error"},
		"empty":      {&oauth2.Token{ExpiresIn: 60}, 0, "AccessToken"},
		"two words":  {&oauth2.Token{AccessToken: "4QD kCy", ExpiresIn: 60}, 0, "malformed"},
		"two lines":  {&oauth2.Token{AccessToken: "4QD\nkCy", ExpiresIn: 60}, 0, "malformed"},
		"no life":    {&oauth2.Token{AccessToken: "4QDkCy"}, 0, "neither Expiry nor ExpiresIn"},
		"past":       {&oauth2.Token{AccessToken: "4QDkCy", Expiry: now.Add(-1)}, 0, "second left"},
		"long past":  {&oauth2.Token{AccessToken: "4QDkCy", Expiry: time.Unix(0, 0)}, 0, "second"},
		"negative":   {&oauth2.Token{AccessToken: "4QDkCy", ExpiresIn: -1}, 0, "second left"},
		"too short":  {&oauth2.Token{AccessToken: "4QDkCy", Expiry: now.Add(1e9 - 1)}, 0, "second"},
		"one second": {&oauth2.Token{AccessToken: "4QDkCy", ExpiresIn: 1}, time.Second, ""},
		"Expiry":     {&oauth2.Token{AccessToken: "4QDkCy", Expiry: now.Add(9e9)}, 9e9, ""},
		"ExpiresIn":  {&oauth2.Token{AccessToken: "4QDkCy", ExpiresIn: 9}, 9e9, ""},
		"both": {&oauth2.Token{AccessToken: "4QDkCy", ExpiresIn: 60, Expiry: now.Add(9e9)},
			9e9, ""},
		"huge ExpiresIn": {&oauth2.Token{AccessToken: "4QDkCy", ExpiresIn: 1<<63 - 1},
			24 * time.Hour, ""},
		"huge Expiry": {&oauth2.Token{AccessToken: "4QDkCy", Expiry: now.AddDate(5000, 0, 0)},
			24 * time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache, source := newElsewhereCache(t, looker)
				source.set(nil, func(*oauth2.Token) *oauth2.Token { return tt.token })
				got, err := cache.User("789").Token()
				if tt.life == 0 {
					checkErrorSays(t, err, "UserToken", tt.why)
					if op := callError(t, err).Op; op != "user_token" {
						t.Errorf("the error is of %s", op)
					}
					return
				}
				if err != nil || !got.Expiry.Equal(now.Add(tt.life)) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		})
	}
}

// The life of a token starts when it is asked for, as a login's does.
func TestLifeOfATokenFromElsewhereStartsWithTheCall(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		source.set(lasting(20*time.Second), nil)
		start := time.Now()
		got, err := cache.User("789").Token()
		if err != nil || !got.Expiry.Equal(start.Add(time.Hour)) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestRejectedTokenIsNoReplacementForItself(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		user := cache.User("789")
		rejected := must(user.Token())
		source.set(nil, func(*oauth2.Token) *oauth2.Token {
			return &oauth2.Token{AccessToken: rejected.AccessToken, ExpiresIn: 3600}
		})
		user.Invalidate(rejected)
		_, err := user.Token()
		checkErrorSays(t, err, "rejected", "UserTokenRequest.Rejected")
		if err != nil && strings.Contains(err.Error(), rejected.AccessToken) {
			t.Errorf("it tells the token: %v", err)
		}
		source.set(nil, nil)
		time.Sleep(time.Second)
		answersAs(t, user.Client(), looker, "789")
	})
}

// A source that keeps its token until 10 s before the end gives it again, whenever it is asked.
func TestSameTokenAgainForARefreshCausesNoStorm(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		calls := 0
		reuse := oauth2.ReuseTokenSource(nil, tokenFunc(func() (*oauth2.Token, error) {
			token, err := mint(looker, "789")
			token.Expiry = time.Now().Add(time.Hour)
			return token, err
		}))
		cache := newCache(t, looker, withoutKey, withUserToken(
			func(context.Context, lookerauth.UserTokenRequest) (*oauth2.Token, error) {
				calls++
				return reuse.Token()
			}))
		client := cache.User("789").Client()
		const hours = 5
		for range hours * 3600 {
			answersAs(t, client, looker, "789")
			time.Sleep(time.Second)
		}
		synctest.Wait()
		minted := looker.Count(lookertest.OpLoginUser, "789")
		if minted > hours+1 || calls > 8*hours {
			t.Errorf("%d calls for %d tokens in %d hours", calls, minted, hours)
		}
		checkLogouts(t, looker, 0)
		logOut(t, cache.User("789"))
		if n := looker.Count(lookertest.OpLogout, ""); n > 2 {
			t.Errorf("%d logouts: the same token was logged out more than once", n)
		}
		checkAlive(t, looker, "789", 0)
	})
}

// tokenFunc is an oauth2.TokenSource.
type tokenFunc func() (*oauth2.Token, error)

func (f tokenFunc) Token() (*oauth2.Token, error) { return f() }

func TestUserOfUserTokenIsInASlotOfTheQueue(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker, maxConcurrentLogins(2))
		source.set(lasting(time.Second), nil)
		start := time.Now()
		together(10, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		source.checkMost(t, 2)
		checkTook(t, start, 5*time.Second)
	})
}

func TestRefreshAndIDTokensStayElsewhere(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache, source := newElsewhereCache(t, looker)
		source.set(nil, func(t *oauth2.Token) *oauth2.Token {
			t.RefreshToken = "1//refresh"
			return t.WithExtra(map[string]any{"id_token": "eyJh", "refresh_token": "1//refresh"})
		})
		user := cache.User("789")
		own := must(user.Token())
		shared := must(user.TokenContext(t.Context()))
		exported := must(user.Export(t.Context(), lookerauth.ExportOptions{}))
		for _, token := range []*oauth2.Token{own, shared, exported} {
			text := fmt.Sprintf("%+v %s", *token, must(json.Marshal(token)))
			if token.RefreshToken != "" || token.Extra("refresh_token") != nil ||
				token.Extra("id_token") != nil || strings.Contains(text, "1//") {
				t.Errorf("got %s", text)
			}
		}
	})
}

func TestUserTokenRequestShowsNoSecret(t *testing.T) {
	who := lookerauth.User("789")
	req := lookerauth.UserTokenRequest{Identity: who, UserID: "789", Rejected: "4QDkCyCtZz"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		text := fmt.Sprintf(verb+verb+verb, req, &req, []lookerauth.UserTokenRequest{req})
		if strings.Contains(text, "4QDk") || !strings.Contains(text, "user:789") {
			t.Errorf("%s: %s", verb, text)
		}
	}
	text, err := json.Marshal(req)
	if err != nil || strings.Contains(string(text), "4QDk") {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := req.MarshalBinary(); err == nil {
		t.Error("encoding/gob gets it")
	}
}
