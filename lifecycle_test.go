package lookerauth_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

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

func TestAgingTokenOutlivesAnOutage(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		service := newCache(t, looker).ServiceAccount()
		first := accessToken(t, service)
		time.Sleep(54*time.Minute + 50*time.Second) // the refresh window opens
		looker.Fail(lookertest.Login, -1, lookertest.Fault{Delay: time.Second, Status: 503})
		for second := range 4 * 60 {
			before := time.Now()
			if accessToken(t, service) != first || time.Since(before) != 0 {
				t.Fatalf("a caller noticed after %d s", second)
			}
			time.Sleep(time.Second)
			if n := looker.Calls(lookertest.Login) - 1; second == 3*60 && (n > 12 || n < 5) {
				t.Errorf("Looker saw %d tries in 3 minutes", n)
			}
		}
		looker.Fail(lookertest.Login, 0, lookertest.Fault{})
		for range 32 { // the longest hold-down, and the second that the last failure took
			before := time.Now()
			accessToken(t, service)
			if time.Since(before) != 0 {
				t.Error("a caller waited for the refresh")
			}
			time.Sleep(time.Second)
		}
		if accessToken(t, service) == first {
			t.Error("the token was not replaced 32 s after the outage")
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
