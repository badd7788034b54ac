package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/benbjohnson/clock"
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

func TestTokenIsNotRefreshedBeforeItAges(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		first := accessToken(t, user)
		time.Sleep(54 * time.Minute)
		if accessToken(t, user) != first {
			t.Error("another token after 54 of 60 minutes")
		}
		synctest.Wait()
		checkCalls(t, looker, 1, 1)
	})
}

func TestAgingTokenIsServedWhileOneLoginReplacesIt(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		user := cache.User("789")
		first := accessToken(t, user)
		time.Sleep(59*time.Minute + 30*time.Second)
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: 2 * time.Second})

		before := time.Now()
		for range 100 {
			if accessToken(t, user) != first {
				t.Fatal("the aging token was not served")
			}
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("callers waited %v", waited)
		}
		time.Sleep(3 * time.Second)
		if accessToken(t, user) == first {
			t.Error("the aging token was not replaced")
		}
		checkCalls(t, looker, 2, 2)
		if n := cache.Stats().Refreshes; n != 2 {
			t.Errorf("Stats has %d refreshes, want one of the user and one of the service account", n)
		}
	})
}

func TestCallerWaitsForOneLoginAfterExpiry(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		first := accessToken(t, user)
		time.Sleep(3 * time.Hour)
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: time.Second})

		before := time.Now()
		if accessToken(t, user) == first {
			t.Error("an expired token was served")
		}
		if waited := time.Since(before); waited != time.Second {
			t.Errorf("waited %v, want the second that the login takes", waited)
		}
		checkCalls(t, looker, 2, 2)
	})
}

func TestUnusedTokenIsNotRefreshed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		accessToken(t, newCache(t, looker).User("789"))
		time.Sleep(24 * time.Hour)
		checkCalls(t, looker, 1, 1)
	})
}

func TestTokensLiveByAMockClock(t *testing.T) {
	now := clock.NewMock()
	looker := lookertest.NewServer(now)
	defer looker.Close()
	user := newCache(t, looker).User("789")

	first := accessToken(t, user)
	now.Add(54 * time.Minute)
	if accessToken(t, user) != first {
		t.Error("another token after 54 of 60 minutes")
	}
	now.Add(2 * time.Hour)
	if accessToken(t, user) == first {
		t.Error("the same token after 174 of 60 minutes")
	}
	checkCalls(t, looker, 2, 2)
}

func TestTokensMintedTogetherAgeApart(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		const users = 200
		for i := range users {
			accessToken(t, cache.User(fmt.Sprint(i)))
		}
		refreshed := map[time.Duration]uint64{}
		for at := 54 * time.Minute; at <= 56*time.Minute; at += 30 * time.Second {
			time.Sleep(at - time.Since(synctestEpoch))
			for i := range users {
				accessToken(t, cache.User(fmt.Sprint(i)))
			}
			synctest.Wait()
			refreshed[at] = cache.Stats().Refreshes
		}
		if n := refreshed[54*time.Minute+30*time.Second]; n != 0 {
			t.Errorf("%d refreshes before the window of 5 minutes opened", n)
		}
		if n := refreshed[55*time.Minute+30*time.Second]; n < users/4 || n > users*9/10 {
			t.Errorf("%d of %d refreshes in the first two thirds of the spread", n, users)
		}
		if n := refreshed[56*time.Minute]; n != users+1 {
			t.Errorf("%d refreshes at the end of the spread, want %d users and the service account", n, users)
		}
	})
}

func TestAgingTakesAtMostAQuarterOfTheLife(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetTokenLife(400 * time.Second) // usable for 390, of which RefreshBefore alone would leave 90
		cache := newCache(t, looker)
		service := cache.ServiceAccount()
		accessToken(t, service)
		time.Sleep(289 * time.Second)
		accessToken(t, service)
		synctest.Wait()
		if n := cache.Stats().Refreshes; n != 0 {
			t.Errorf("%d refreshes in the first three quarters of the life", n)
		}
		time.Sleep(22 * time.Second) // the window opens at 290, and a fifth of it later at the latest
		accessToken(t, service)
		synctest.Wait()
		if n := cache.Stats().Refreshes; n != 1 {
			t.Errorf("%d refreshes when a fifth of the window had passed, want 1", n)
		}
	})
}

func TestLifeStartsWhenTheLoginIsSent(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Delay: 5 * time.Second})
		sent := time.Now()
		token, err := newCache(t, looker).ServiceAccount().Token()
		if err != nil {
			t.Fatal(err)
		}
		if life := token.Expiry.Sub(sent); life != time.Hour {
			t.Errorf("the token expires %v after its login was sent, want an hour", life)
		}
	})
}

// synctestEpoch is when time starts in a bubble.
var synctestEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestLifeOfATokenComesFromExpiresIn(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		expiresIn string
		usable    time.Duration // 0: the answer is an error
	}{
		{`"expires_in":1`, 900 * time.Millisecond},
		{`"expires_in":20`, 18 * time.Second},
		{`"expires_in":99`, 89*time.Second + 100*time.Millisecond},
		{`"expires_in":100`, 90 * time.Second},
		{`"expires_in":3600`, 3590 * time.Second},
		{`"expires_in":3600.5`, 3590*time.Second + 500*time.Millisecond},
		{`"expires_in":2147483647`, day - 10*time.Second},
		{`"expires_in":9223372036854775807`, day - 10*time.Second},
		{`"expires_in":1e400`, 0},
		{`"expires_in":0`, 0},
		{`"expires_in":1e-10`, 0},
		{`"expires_in":-1e300`, 0},
		{`"expires_in":-1`, 0},
		{`"expires_in":"3600"`, 0},
		{`"expires_in":null`, 0},
		{`"other":1`, 0},
	} {
		t.Run(test.expiresIn, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				looker.Fail(lookertest.Login, 1, lookertest.Fault{Body: `{"access_token":"first","token_type":"Bearer",` + test.expiresIn + `}`})
				service := newCache(t, looker).ServiceAccount()
				_, err := service.Token()
				if test.usable == 0 {
					if !errors.Is(err, lookerauth.ErrNotLooker) {
						t.Errorf("got %v, want ErrNotLooker", err)
					}
					return
				}
				// A refresh must not get in the way.
				looker.Fail(lookertest.Login, -1, lookertest.Fault{Status: 503})
				time.Sleep(test.usable - time.Millisecond)
				if token, err := service.Token(); err != nil || token.AccessToken != "first" {
					t.Errorf("not usable until %v: %v", test.usable, err)
				}
				synctest.Wait()
				time.Sleep(time.Millisecond)
				if token, err := service.Token(); err == nil {
					t.Errorf("%s still usable after %v", token.AccessToken, test.usable)
				}
			})
		})
	}
}

func TestTokenOfTheFutureIsServedAndReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		steps := &steppedClock{}
		service := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Clock = steps }).ServiceAccount()
		first := accessToken(t, service)

		steps.step(-5 * time.Hour)
		if accessToken(t, service) != first {
			t.Error("the token was not served after the clock was set back")
		}
		synctest.Wait()
		second := accessToken(t, service)
		if second == first {
			t.Error("the token was not replaced after the clock was set back")
		}
		steps.step(5 * time.Hour)
		if accessToken(t, service) == second {
			t.Error("the token was served after the clock was set forward by hours")
		}
		checkCalls(t, looker, 3, 0)
	})
}

func TestReplacedTokenStaysReplacedWhenTheClockIsSetForward(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		steps := &steppedClock{}
		cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Clock = steps })
		one, other := cache.User("789"), cache.User("789")
		accessToken(t, one)
		first := accessToken(t, other)
		steps.step(-30 * time.Minute)
		accessToken(t, one)
		synctest.Wait()
		steps.step(30 * time.Minute)
		if accessToken(t, other) == first {
			t.Error("a handle serves the token that was replaced")
		}
	})
}

func TestReplacedTokensAreForgotten(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		first := weak.Make(must(user.Token()))
		for range 2 {
			time.Sleep(59 * time.Minute)
			accessToken(t, user)
			synctest.Wait()
		}
		runtime.GC()
		if first.Value() != nil {
			t.Error("an expired token is still in memory")
		}
		runtime.KeepAlive(user)
	})
}

// steppedClock is the time package's clock, set back or forward.
type steppedClock struct {
	mu     sync.Mutex
	offset time.Duration // guarded by mu
}

func (c *steppedClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *steppedClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

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

func TestTokenTypeIsWhatLookerSaid(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Body: `{"access_token":"a","token_type":"token","expires_in":3600}`})
		token, err := newCache(t, looker).ServiceAccount().Token()
		if err != nil || token.Extra("token_type") != "token" {
			t.Errorf("token_type is %v, error %v", token.Extra("token_type"), err)
		}
	})
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

func TestLogoutKillsEveryTokenOfTheIdentity(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		time.Sleep(59 * time.Minute)
		accessToken(t, user) // starts a refresh; the old token lives for another minute
		synctest.Wait()
		if n := looker.Alive()["789"]; n != 2 {
			t.Fatalf("%d tokens alive, want the old and the new", n)
		}
		if err := user.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := looker.Alive()["789"]; n != 0 {
			t.Errorf("%d tokens alive after Logout", n)
		}
		accessToken(t, user)
		if n := looker.Alive()["789"]; n != 1 {
			t.Errorf("%d tokens alive after the handle was used again", n)
		}
	})
}

func TestLogoutOfADeadTokenSucceeds(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusNotFound} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			service := newCache(t, looker).ServiceAccount()
			accessToken(t, service)
			looker.Fail(lookertest.Logout, 1, lookertest.Fault{Status: status})
			if err := service.Logout(t.Context()); err != nil {
				t.Errorf("answer %d: %v", status, err)
			}
		})
	}
}

func TestFailedLogoutIsReportedAndForgotten(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		first := accessToken(t, user)
		looker.Fail(lookertest.Logout, 3, lookertest.Fault{Status: 503})
		var failed *lookerauth.LoginError
		if err := user.Logout(t.Context()); !errors.As(err, &failed) || failed.Op != "logout" || failed.UserID != "789" {
			t.Errorf("got %v", err)
		}
		if accessToken(t, user) == first {
			t.Error("the token was served after Logout")
		}
	})
}

func TestLoginUnderWayDoesNotSurviveLogout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		looker.Fail(lookertest.LoginUser, 1, lookertest.Fault{Delay: time.Second})
		waiter := make(chan string)
		go func() { waiter <- accessToken(t, user) }()
		synctest.Wait()

		if err := user.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		token := <-waiter
		synctest.Wait()
		if n := looker.Alive()["789"]; n != 1 {
			t.Errorf("%d tokens alive, want the one of the login after Logout", n)
		}
		if n := looker.Calls(lookertest.LoginUser); n != 2 {
			t.Errorf("%d calls of login_user, want 2", n)
		}
		if accessToken(t, user) != token {
			t.Error("the one who waited got another token than the one that is kept")
		}
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

func TestRejectedServiceAccountTokenIsReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.Revoke(lookertest.ServiceAccount)
		accessToken(t, cache.User("789"))
		checkCalls(t, looker, 2, 2)

		// Within 10 seconds it is not replaced again: the user's login fails.
		looker.Revoke(lookertest.ServiceAccount)
		time.Sleep(10*time.Second - time.Nanosecond)
		var failed *lookerauth.LoginError
		if _, err := cache.User("790").Token(); !errors.As(err, &failed) || failed.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %v, want the 401", err)
		}
		checkCalls(t, looker, 2, 3)
		time.Sleep(10 * time.Second)
		accessToken(t, cache.User("790"))
		checkCalls(t, looker, 3, 5)
	})
}

func TestServiceAccountsFailureIsTheUsersError(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.RevokeAll()
		looker.SetKey("another", "key")
		if _, err := cache.User("789").Token(); !errors.Is(err, lookerauth.ErrBadCredentials) {
			t.Errorf("got %v, want ErrBadCredentials", err)
		}
	})
}

func TestAfterLoginRunsBeforeAnyoneGetsTheToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(ctx context.Context, userID string, client *http.Client) error {
				time.Sleep(time.Second)
				want := userID
				if userID == "" {
					want = lookertest.ServiceAccountID
				}
				if got := whoAnswered(t, ctx, client, looker.URL+"/api/4.0/looks"); got != want {
					t.Errorf("the client of %q acts as %q", userID, got)
				}
				if _, err := client.Get("https://elsewhere.example/"); !errors.Is(err, lookerauth.ErrForeignOrigin) {
					t.Errorf("the client of %q goes elsewhere: %v", userID, err)
				}
				return nil
			}
		})
		before := time.Now()
		accessToken(t, cache.User("789"))
		if waited := time.Since(before); waited != 2*time.Second {
			t.Errorf("the token was there after %v, want a second for each of the two logins", waited)
		}
	})
}

func TestAfterLoginThatTakesTooLongSaysSo(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(ctx context.Context, _ string, _ *http.Client) error { <-ctx.Done(); return ctx.Err() }
		})
		if _, err := cache.ServiceAccount().Token(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "LoginTimeout") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAfterLoginsClientNeverLogsIn(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(_ context.Context, userID string, client *http.Client) error {
				looker.Revoke(userID)
				resp, err := client.Get(looker.URL + "/api/4.0/session")
				if err != nil {
					return err
				}
				resp.Body.Close()
				return errors.New(resp.Status)
			}
		})
		if _, err := cache.ServiceAccount().Token(); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("got %v, want the 401", err)
		}
		checkCalls(t, looker, 1, 0)
	})
}

func TestFailedAfterLoginFailsTheLoginAndKillsItsToken(t *testing.T) {
	wrong := errors.New("no such workspace")
	for name, afterLogin := range map[string]func(token string) error{
		"error":  func(token string) error { return fmt.Errorf("%w for %s", wrong, token) },
		"panic":  func(token string) error { panic(token) },
		"Goexit": func(string) error { exit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				var token string
				cache := newCache(t, looker, func(cfg *lookerauth.Config) {
					cfg.Transport = recordToken(cfg.Transport, &token)
					cfg.AfterLogin = func(ctx context.Context, userID string, client *http.Client) error {
						whoAnswered(t, ctx, client, looker.URL+"/api/4.0/looks")
						return afterLogin(token)
					}
				})
				_, err := cache.ServiceAccount().Token()
				var failed *lookerauth.LoginError
				if !errors.As(err, &failed) || failed.Op != "login" {
					t.Fatalf("got %v, want a *LoginError", err)
				}
				if name == "error" && !errors.Is(err, wrong) {
					t.Errorf("%v does not hold the cause", err)
				}
				synctest.Wait()
				if strings.Contains(err.Error(), token) {
					t.Errorf("the error tells the token: %v", err)
				}
				if alive := looker.Alive(); len(alive) != 0 {
					t.Errorf("alive at Looker: %v", alive)
				}
			})
		})
	}
}

// recordToken is a base that keeps the last token that was sent.
func recordToken(base http.RoundTripper, token *string) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if _, sent, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok {
			*token = sent
		}
		return base.RoundTrip(req)
	})
}
