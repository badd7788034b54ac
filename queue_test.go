package lookerauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestMaxConcurrentLoginsBoundsTheCallsInFlight(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.MaxConcurrentLogins = 4 })
		accessToken(t, cache.ServiceAccount())
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: time.Second})
		before := time.Now()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { accessToken(t, cache.User(fmt.Sprint(i))) })
		}
		wg.Wait()
		if took := time.Since(before); took != 5*time.Second {
			t.Errorf("20 logins of one second, 4 at a time, took %v", took)
		}
	})
}

func TestOneSlotIsEnoughForAUsersLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.MaxConcurrentLogins = 1 })
		accessToken(t, cache.User("789"))
	})
}

func TestRetryAfterIsWaitedOutByEveryLogin(t *testing.T) {
	for _, header := range []string{"1", synctestEpoch.Add(time.Second).Format(http.TimeFormat)} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache := newCache(t, looker)
			looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {header}}})
			before := time.Now()
			go func() { _, _ = cache.ServiceAccount().Token() }()
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
		looker.Fail(lookertest.LoginUser, 1, lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {"3600"}}})
		before := time.Now()
		for _, userID := range []string{"789", "790"} {
			_, err := cache.User(userID).Token()
			var failed *lookerauth.LoginError
			if !errors.As(err, &failed) || !errors.Is(err, lookerauth.ErrRateLimited) || failed.RetryAfter != time.Hour || failed.UserID != userID {
				t.Errorf("got %v", err)
			}
		}
		if took := time.Since(before); took != 0 {
			t.Errorf("took %v", took)
		}
		checkCalls(t, looker, 1, 1)
		time.Sleep(time.Hour)
		accessToken(t, cache.User("790"))
	})
}

func TestShorterPauseDoesNotEndALongerOne(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.FailFunc(func(call lookertest.Call) *lookertest.Fault {
			switch call.UserID {
			case "long":
				return &lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {"3600"}}}
			case "short":
				return &lookertest.Fault{Delay: time.Second, Status: 429, Header: http.Header{"Retry-After": {"60"}}}
			}
			return nil
		})
		var wg sync.WaitGroup
		for _, userID := range []string{"short", "long"} {
			wg.Go(func() { _, _ = cache.User(userID).Token() })
		}
		wg.Wait()
		time.Sleep(30 * time.Minute)
		if _, err := cache.User("789").Token(); !errors.Is(err, lookerauth.ErrRateLimited) {
			t.Errorf("half-way through the longer pause: %v", err)
		}
	})
}

func TestQueuedLoginsHeedThePause(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.MaxConcurrentLogins = 2 })
		accessToken(t, cache.ServiceAccount())
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{
			Delay: time.Second, Status: 429, Header: http.Header{"Retry-After": {"3600"}},
		})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := cache.User(fmt.Sprint(i)).Token(); !errors.Is(err, lookerauth.ErrRateLimited) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		checkCalls(t, looker, 1, 2)
	})
}

func TestPauseDoesNotOutliveAClockSetBack(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		steps := &steppedClock{}
		cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Clock = steps })
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {"3600"}}})
		if _, err := cache.ServiceAccount().Token(); !errors.Is(err, lookerauth.ErrRateLimited) {
			t.Errorf("got %v", err)
		}
		steps.step(-48 * time.Hour)
		accessToken(t, cache.ServiceAccount())
	})
}
