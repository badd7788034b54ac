package lookerauth_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestMaxConcurrentLoginsBoundsTheCallsInFlight(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(4))
		accessToken(t, cache.ServiceAccount())
		failing(looker, lookertest.OpLoginUser, delayed(time.Second))
		before := time.Now()
		together(20, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		checkTook(t, before, 5*time.Second)
	})
}

func TestOneSlotIsEnoughForAUsersLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(1))
		accessToken(t, cache.User("789"))
	})
}

func TestRetryAfterIsWaitedOutByEveryLogin(t *testing.T) {
	for _, header := range []string{"1", synctestEpoch.Add(time.Second).Format(http.TimeFormat)} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache := newCache(t, looker)
			looker.FailNext(lookertest.OpLogin, rateLimited(header))
			before := time.Now()
			tokenInBackground(cache.ServiceAccount())
			synctest.Wait()
			accessToken(t, cache.User("789"))
			if took := time.Since(before); took < time.Second || took > 2*time.Second {
				t.Errorf("logged in after %v", took)
			}
			checkCalls(t, looker, 2, 1)
		})
	}
}

func TestLongRetryAfterFailsEveryLoginAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.FailNext(lookertest.OpLoginUser, rateLimited("240"))
		before := time.Now()
		for _, userID := range []string{"789", "790"} {
			_, err := cache.User(userID).Token()
			checkError(t, err, lookerauth.ErrRateLimited)
			e := callError(t, err)
			if e.RetryAfter != 4*time.Minute || e.Identity != lookerauth.User(userID) {
				t.Errorf("got %#v", e)
			}
		}
		checkTook(t, before, 0)
		checkCalls(t, looker, 1, 1)
		time.Sleep(4*time.Minute - 31*time.Second)
		failsWith(t, cache.User("790"), lookerauth.ErrRateLimited) // which is no failure of its own
		time.Sleep(31 * time.Second)
		accessToken(t, cache.User("790"))
	})
}

func TestShorterPauseDoesNotEndALongerOne(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		long, short := rateLimited("240"), rateLimited("60")
		short.Delay = time.Second
		looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			return map[string]lookertest.Fault{"long": long, "short": short}[call.UserID]
		})
		first := tokenInBackground(cache.User("short"))
		second := tokenInBackground(cache.User("long"))
		<-first
		<-second
		time.Sleep(2 * time.Minute)
		failsWith(t, cache.User("789"), lookerauth.ErrRateLimited)
	})
}

func TestQueuedLoginsHeedThePause(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(2))
		accessToken(t, cache.ServiceAccount())
		pause := rateLimited("3600")
		pause.Delay = time.Second
		failing(looker, lookertest.OpLoginUser, pause)
		together(20, func(i int) {
			failsWith(t, cache.User(nthUser(i)), lookerauth.ErrRateLimited)
		})
		checkCalls(t, looker, 1, 2)
	})
}

func TestPauseDoesNotOutliveAClockSetBack(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		steps := &steppedClock{}
		cache := newCache(t, looker, withClock(steps))
		looker.FailNext(lookertest.OpLogin, rateLimited("3600"))
		failsWith(t, cache.ServiceAccount(), lookerauth.ErrRateLimited)
		steps.step(-48 * time.Hour)
		accessToken(t, cache.ServiceAccount())
	})
}

func TestPauseEndsAfterFiveMinutesWithAProbe(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		day := rateLimited("86400")
		looker.FailNext(lookertest.OpLoginUser, day)
		failsWith(t, cache.User("first"), lookerauth.ErrRateLimited)
		time.Sleep(5*time.Minute - time.Second)

		day.Delay = time.Second
		looker.FailNext(lookertest.OpLoginUser, day)
		together(100, func(i int) {
			failsWith(t, cache.User(nthUser(i)), lookerauth.ErrRateLimited)
		})
		checkCalls(t, looker, 1, 2) // one has found out for all

		time.Sleep(5*time.Minute - time.Second)
		looker.FailNext(lookertest.OpLoginUser, delayed(time.Second))
		before := time.Now()
		together(100, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		checkTook(t, before, 2*time.Second) // the rest of the pause, the probe, and then all others
		checkCalls(t, looker, 1, 102)
	})
}

func TestLogoutNeverPausesLogins(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		user := cache.User("789")
		accessToken(t, user)
		failing(looker, lookertest.OpLogout, rateLimited("3600"))
		before := time.Now()
		checkError(t, user.Logout(t.Context()), lookerauth.ErrRateLimited)
		accessToken(t, cache.User("790"))
		checkTook(t, before, 0)
	})
}

func TestPauseOfLoginsHoldsUpNoLogout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		user := cache.User("789")
		accessToken(t, user)
		looker.FailNext(lookertest.OpLoginUser, rateLimited("3600"))
		failsWith(t, cache.User("790"), lookerauth.ErrRateLimited)
		before := time.Now()
		logOut(t, user)
		checkTook(t, before, 0)
	})
}

// The Store is asked whether another process has refreshed it, but not for each request.
func TestRefreshIsBegunOnceASecondDuringAPause(t *testing.T) {
	for name, test := range map[string]struct {
		lose func(t *testing.T, service *lookerauth.TokenSource)
		most int // looks into the Store: one or two for each refresh
	}{
		"with the service account":    {func(*testing.T, *lookerauth.TokenSource) {}, 3},
		"without the service account": {invalidate, 6},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				cache := newCache(t, looker, withStore(store))
				user, service := cache.User("789"), cache.ServiceAccount()
				accessToken(t, user)
				time.Sleep(58 * time.Minute)
				accessToken(t, service)
				synctest.Wait()
				looker.FailNext(lookertest.OpLoginUser, rateLimited("240"))
				failsWith(t, cache.User("790"), lookerauth.ErrRateLimited)
				test.lose(t, service)
				before := store.callsOf("Get")
				for range 100 {
					accessToken(t, user)
					synctest.Wait()
					time.Sleep(20 * time.Millisecond)
				}
				if n := store.callsOf("Get") - before; n < 2 || n > test.most {
					t.Errorf("the Store was asked %d times in 2 s", n)
				}
			})
		})
	}
}
