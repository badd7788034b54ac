package lookerauth_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// checkFailing compares since when logins fail, and with what; nil stands for not at all.
func checkFailing(t *testing.T, of lookerauth.LoginHealth, want error, since time.Time) {
	t.Helper()
	if want == nil {
		since = time.Time{}
	}
	if !of.FailingSince.Equal(since) || (of.Err == nil) != (want == nil) {
		t.Errorf("fails since %v with %v, want %v and %v", of.FailingSince, of.Err, since, want)
	}
	if want != nil {
		checkError(t, of.Err, want)
	}
}

func TestHealthTellsWhoseLoginsFailSinceWhenAndWhy(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		if got := cache.Health(); got != (lookerauth.Health{}) {
			t.Errorf("Health is %+v before the first login", got)
		}
		accessToken(t, cache.User("789"))
		begun := time.Now()
		for _, of := range []lookerauth.LoginHealth{
			cache.Health().ServiceAccount, cache.Health().Users,
		} {
			checkFailing(t, of, nil, begun)
			if !of.LastSuccess.Equal(begun) {
				t.Errorf("the last success is of %v, want %v", of.LastSuccess, begun)
			}
		}

		time.Sleep(time.Second)
		looker.SetAdmin(false)
		first := time.Now()
		failsWith(t, cache.User("790"), lookerauth.ErrForbidden)
		checkFailing(t, cache.Health().Users, nil, first) // it may be that user's own
		time.Sleep(time.Second)
		failsWith(t, cache.User("791"), lookerauth.ErrForbidden)
		checkFailing(t, cache.Health().Users, lookerauth.ErrForbidden, first)
		checkFailing(t, cache.Health().ServiceAccount, nil, first)

		looker.SetAdmin(true)
		accessToken(t, cache.User("792"))
		checkFailing(t, cache.Health().Users, lookerauth.ErrForbidden, first)
		time.Sleep(time.Minute - 1)
		checkFailing(t, cache.Health().Users, lookerauth.ErrForbidden, first)
		time.Sleep(time.Nanosecond) // it may have recurred until now
		checkFailing(t, cache.Health().Users, nil, first)
	})
}

func TestHealthOfTheServiceAccountIsNotTheUsers(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		failing(looker, lookertest.OpLogin, answered(404))
		since := time.Now()
		for range 3 {
			failsWith(t, cache.User("789"), lookerauth.ErrBadAPIKey)
			time.Sleep(time.Hour)
		}
		health := cache.Health()
		checkFailing(t, health.ServiceAccount, lookerauth.ErrBadAPIKey, since)
		checkFailing(t, health.Users, nil, since)
	})
}

func TestHealthIsWellWithUsersThatLookerDoesNotKnow(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		setUsers(looker, "789")
		for i := range 10 {
			for _, who := range []lookerauth.Identity{
				lookerauth.User(nthUser(i)), byEmbedID(nthUser(i)),
			} {
				failsWith(t, cache.As(who), lookerauth.ErrUserNotFound)
			}
		}
		checkFailing(t, cache.Health().Users, nil, time.Now())
	})
}

func TestHealthTellsSeveralReasonsApart(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		begun := time.Now()
		var want lookerauth.FailureTimes
		check := func() {
			t.Helper()
			h := cache.Health().Users
			if h.Reasons != want || !h.FailingSince.Equal(begun) {
				t.Errorf("since %v, %+v, want %v, %+v", h.FailingSince, h.Reasons, begun, want)
			}
		}
		fail := func(fault lookertest.Fault, since *time.Time) {
			*since = time.Now()
			failing(looker, lookertest.OpLoginUser, fault)
			for i := range 2 {
				if _, err := cache.User(nthUser(i)).Token(); err == nil {
					t.Error("it has not failed")
				}
			}
			check()
			time.Sleep(6 * time.Minute)
		}
		fail(answered(403), &want.Refused)
		fail(answeredBody("garbage"), &want.Other)
		fail(rateLimited("600"), &want.RateLimited)
		healthy(looker)
		accessToken(t, cache.User(nthUser(2))) // it is over for all at once
		want, begun = lookerauth.FailureTimes{}, time.Time{}
		check()
	})
}

// A user who fails for long is not since when everybody does.
func TestGeneralFailureBeginsWithTheFirstOfIt(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		failing(looker, lookertest.OpLoginUser, answered(403))
		failsWith(t, cache.User("789"), lookerauth.ErrForbidden)
		for range 10 { // while others are logged in
			healthy(looker)
			time.Sleep(30 * time.Second)
			accessToken(t, cache.User("790"))
			logOut(t, cache.User("790"))
			failing(looker, lookertest.OpLoginUser, answered(403))
			failsWith(t, cache.User("789"), lookerauth.ErrForbidden)
		}
		since := time.Now()
		failsWith(t, cache.User("791"), lookerauth.ErrForbidden)
		checkFailing(t, cache.Health().Users, lookerauth.ErrForbidden, since)
	})
}

func TestHealthSaysHowLongTheServiceAccountsTokenLasts(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		clock := &steppedClock{}
		cache := newCache(t, looker, withClock(clock))
		check := func(want time.Duration) {
			t.Helper()
			if got := cache.Health().TokenLife; got != want {
				t.Errorf("it lasts for %v, want %v", got, want)
			}
		}
		accessToken(t, cache.ServiceAccount())
		const usable = time.Hour - 10*time.Second
		check(usable)
		time.Sleep(59 * time.Minute)
		check(50 * time.Second)
		clock.step(-5 * time.Hour) // nobody knows how long it lasts: not longer than ever
		check(usable)
		clock.step(5 * time.Hour)
		time.Sleep(time.Minute)
		check(0)
		accessToken(t, cache.ServiceAccount())
		check(usable)
		invalidated := must(cache.ServiceAccount().Token())
		cache.ServiceAccount().Invalidate(invalidated)
		check(0)
	})
}

func TestHealthOnlyReads(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		accessToken(t, cache.ServiceAccount())
		before := len(log.all())
		for range 3600 { // while it is fresh, aging, unusable and dead
			cache.Health()
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		checkCalls(t, looker, 1, 0)
		if after := len(log.all()); after != before {
			t.Errorf("logged:\n%v", &log)
		}
	})
}

func TestTokenFromTheStoreIsASuccess(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		fleet := newFleet(t, looker, 2, withStore(newMemoryStore()))
		accessToken(t, fleet[0].User("789"))
		time.Sleep(time.Second)
		accessToken(t, fleet[1].User("789"))
		if got := fleet[1].Health().Users.LastSuccess; !got.Equal(time.Now()) {
			t.Errorf("the last success is of %v, want now", got)
		}
	})
}

func TestHealthHasTheLastFailureOfAll(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		forbidden, elsewhere := answered(403), answeredBody("<html>")
		since := time.Now()
		for i, fault := range []lookertest.Fault{
			forbidden, forbidden, elsewhere, elsewhere, forbidden,
		} {
			failing(looker, lookertest.OpLoginUser, fault)
			_, err := cache.User(nthUser(i)).Token()
			if i > 0 && i != 2 { // which may be that user's own
				checkFailing(t, cache.Health().Users, callError(t, err).Err, since)
			}
			time.Sleep(time.Second)
		}
	})
}
