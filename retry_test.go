package lookerauth_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestTemporaryFailureIsRetried(t *testing.T) {
	for _, fault := range []lookertest.Fault{answered(503), {Drop: true}, answered(429)} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			failNext(looker, 2, lookertest.OpLogin, fault)
			before := time.Now()
			accessToken(t, newCache(t, looker).ServiceAccount())
			took := time.Since(before)
			if took < 300*time.Millisecond || took > 600*time.Millisecond {
				t.Errorf("%+v: the third try came after %v", fault, took)
			}
		})
	}
}

func TestIdentitiesThatFailTogetherAreNotRetriedTogether(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		waits := make(map[time.Duration]bool)
		for i := range 50 {
			looker.FailNext(lookertest.OpLogin, answered(503))
			before := time.Now()
			accessToken(t, cache.ServiceAccount())
			took := time.Since(before)
			waits[took] = true
			if took < 100*time.Millisecond || took >= 200*time.Millisecond {
				t.Errorf("login %d: the second try came after %v", i, took)
			}
			logOut(t, cache.ServiceAccount())
		}
		if len(waits) < 25 {
			t.Errorf("only %d different waits before 50 second tries", len(waits))
		}
	})
}

func TestLoginWaitsByTheClock(t *testing.T) {
	for name, test := range map[string]struct {
		fault       lookertest.Fault
		times       int
		least, most time.Duration // on the simulated clock
	}{
		"backoff":      {answered(503), 1, time.Second, 2 * time.Second},
		"Retry-After":  {rateLimited("1"), 1, 10 * time.Second, 10 * time.Second},
		"LoginTimeout": {delayed(time.Hour), 3, 300 * time.Second, 300 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				failNext(looker, test.times, lookertest.OpLogin, test.fault)
				service := newCache(t, looker, withClock(slowClock{})).ServiceAccount()
				before := time.Now()
				_, err := service.Token()
				if took := time.Since(before); took < test.least || took > test.most {
					t.Errorf("took %v (%v), want %v to %v", took, err, test.least, test.most)
				}
			})
		})
	}
}

func TestLoginTimeoutEndsAStalledLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		service := newCache(t, looker, loginTimeout(5*time.Second)).ServiceAccount()
		failing(looker, lookertest.OpLogin, delayed(time.Hour))
		before := time.Now()
		_, err := service.Token()
		checkError(t, err, context.DeadlineExceeded)
		checkErrorSays(t, err, "LoginTimeout, 5s")
		checkTook(t, before, 5*time.Second)
		checkCalls(t, looker, 3, 0)
	})
}

func TestUnreadableRetryAfterIsNone(t *testing.T) {
	for _, header := range []string{"soon", "-1", "1.5", "", "Mon, 01 Jan 1990 00:00:00 GMT"} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			failing(looker, lookertest.OpLogin, rateLimited(header))
			_, err := newCache(t, looker).ServiceAccount().Token()
			if got := callError(t, err).RetryAfter; got != 0 {
				t.Errorf("%q became %v, want none", header, got)
			}
		})
	}
}

func TestHugeRetryAfterIsCapped(t *testing.T) {
	for _, header := range []string{
		"99999999999999999999", "9223372036854775807", "Mon, 01 Jan 2300 00:00:00 GMT",
	} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.FailNext(lookertest.OpLogin, rateLimited(header))
			service := newCache(t, looker).ServiceAccount()
			_, err := service.Token()
			if got := callError(t, err).RetryAfter; got != 24*time.Hour {
				t.Errorf("%q became %v, want a day", header, got)
			}
			time.Sleep(24 * time.Hour)
			accessToken(t, service)
		})
	}
}

// Otherwise one lost packet would cost all who wait for a login the whole LoginTimeout.
func TestLostAnswerCostsAThirdOfLoginTimeout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.FailNext(lookertest.OpLoginUser, delayed(time.Hour))
		before := time.Now()
		accessToken(t, cache.User("789"))
		took := time.Since(before)
		if took < 10*time.Second || took > 10*time.Second+time.Second/5 {
			t.Errorf("it took %v", took)
		}
		checkCalls(t, looker, 1, 2)
	})
}

// The token of an answer that comes too late is nobody's.
func TestAnswerThatComesTooLateIsLoggedOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var calls atomic.Int64
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			if calls.Add(1) == 2 { // the first login_user; it ignores its context
				time.Sleep(30 * time.Minute)
				return looker.Transport().RoundTrip(req.WithContext(context.Background()))
			}
			return looker.Transport().RoundTrip(req)
		})
		accessToken(t, newCache(t, looker, withTransport(base)).User("789"))
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if n := looker.Alive()["789"]; n != 1 {
			t.Errorf("%d tokens of it are alive, want the one that is used", n)
		}
	})
}

func TestRetryAfterOfA503IsHeededByThatLoginAlone(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		away := lookertest.Fault{Status: 503, Header: http.Header{"Retry-After": {"7"}}}
		looker.FailNext(lookertest.OpLoginUser, away)
		before := time.Now()
		waits := tokenInBackground(cache.User("789"))
		synctest.Wait()
		accessToken(t, cache.User("790"))
		checkTook(t, before, 0)
		if err := <-waits; err != nil {
			t.Error(err)
		}
		checkTook(t, before, 7*time.Second)
	})
}
