package lookerauth_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// refreshes is how many logins of the Cache were granted in the background.
func refreshes(cache *lookerauth.Cache) uint64 {
	stats := cache.Stats()
	return stats.ServiceAccount.Refreshed + stats.UserLogins.Refreshed
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
		failing(looker, lookertest.OpLoginUser, delayed(2*time.Second))

		before := time.Now()
		for range 100 {
			if accessToken(t, user) != first {
				t.Fatal("the aging token was not served")
			}
		}
		checkTook(t, before, 0)
		time.Sleep(3 * time.Second)
		if accessToken(t, user) == first {
			t.Error("the aging token was not replaced")
		}
		checkCalls(t, looker, 2, 2)
		if n := refreshes(cache); n != 2 {
			t.Errorf("%d refreshes, want one of the user and one of the service account", n)
		}
	})
}

func TestCallerWaitsForOneLoginAfterExpiry(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		first := accessToken(t, user)
		time.Sleep(3 * time.Hour)
		failing(looker, lookertest.OpLoginUser, delayed(time.Second))

		before := time.Now()
		if accessToken(t, user) == first {
			t.Error("an expired token was served")
		}
		checkTook(t, before, time.Second)
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

func TestTokensIssuedTogetherAgeApart(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		const users = 200
		useUsers(t, cache, users)
		refreshed := map[time.Duration]uint64{}
		for at := 54 * time.Minute; at <= 56*time.Minute; at += 30 * time.Second {
			time.Sleep(at - time.Since(synctestEpoch))
			useUsers(t, cache, users)
			synctest.Wait()
			refreshed[at] = refreshes(cache)
		}
		if n := refreshed[54*time.Minute+30*time.Second]; n != 0 {
			t.Errorf("%d refreshes before the window of 5 minutes opened", n)
		}
		if n := refreshed[55*time.Minute+30*time.Second]; n < users/4 || n > users*9/10 {
			t.Errorf("%d of %d refreshes in the first two thirds of the spread", n, users)
		}
		if n := refreshed[56*time.Minute]; n != users+1 {
			t.Errorf("%d refreshes at its end, want %d users and the service account", n, users)
		}
	})
}

func TestAgingTakesAtMostAQuarterOfTheLife(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		// Usable for 390 seconds, of which RefreshBefore alone would leave 90 fresh.
		looker.SetTokenLife(400 * time.Second)
		cache := newCache(t, looker)
		service := cache.ServiceAccount()
		accessToken(t, service)
		time.Sleep(289 * time.Second)
		accessToken(t, service)
		synctest.Wait()
		if n := refreshes(cache); n != 0 {
			t.Errorf("%d refreshes in the first three quarters of the life", n)
		}
		time.Sleep(22 * time.Second) // the window opens at 290, or up to a fifth of it later
		accessToken(t, service)
		synctest.Wait()
		if n := refreshes(cache); n != 1 {
			t.Errorf("%d refreshes when a fifth of the window had passed, want 1", n)
		}
	})
}

func TestAgingTokenOutlivesAnOutage(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		service := cache.ServiceAccount()
		first := accessToken(t, service)
		time.Sleep(54*time.Minute + 50*time.Second) // the refresh window opens
		outage := lookertest.Fault{Delay: time.Second, Status: 503}
		failing(looker, lookertest.OpLogin, outage)
		for second := range 4 * 60 {
			before := time.Now()
			if accessToken(t, service) != first || time.Since(before) != 0 {
				t.Fatalf("a caller noticed after %d s", second)
			}
			time.Sleep(time.Second)
			if n := looker.Count(lookertest.OpLogin, "") - 1; second == 3*60 && (n > 12 || n < 5) {
				t.Errorf("Looker saw %d tries in 3 minutes", n)
			}
		}
		logins := cache.Stats().ServiceAccount
		if none := (lookerauth.LoginFailures{}); logins.Failed != none ||
			logins.RefreshFailed.Unavailable < 5 {
			t.Errorf("counted was %+v, want failures in the background", logins)
		}
		healthy(looker)
		for range 32 { // the longest hold-down, and the second that the last failure took
			before := time.Now()
			accessToken(t, service)
			checkTook(t, before, 0)
			time.Sleep(time.Second)
		}
		if accessToken(t, service) == first {
			t.Error("the token was not replaced 32 s after the outage")
		}
	})
}

func TestLifeStartsWhenTheLoginIsSent(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.FailNext(lookertest.OpLogin, delayed(5*time.Second))
		sent := time.Now()
		token := must(newCache(t, looker).ServiceAccount().Token())
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
				body := `{"access_token":"first","token_type":"Bearer",` + test.expiresIn + `}`
				looker.FailNext(lookertest.OpLogin, answeredBody(body))
				service := newCache(t, looker).ServiceAccount()
				if test.usable == 0 {
					failsWith(t, service, lookerauth.ErrNotLooker)
					return
				}
				accessToken(t, service)
				// A refresh must not get in the way.
				failing(looker, lookertest.OpLogin, answered(503))
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
	looker := lookertest.New(t, lookertest.WithClock(now))
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
		service := newCache(t, looker, withClock(steps)).ServiceAccount()
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
		cache := newCache(t, looker, withClock(steps))
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

func TestReplacedTokensLeaveTheMemory(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		first := weak.Make(must(user.TokenContext(t.Context())))
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
