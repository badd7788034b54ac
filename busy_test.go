package lookerauth_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

const slowLogin = 500 * time.Millisecond

// busy is a Looker whose user logins take half a second, and a Cache with the defaults.
func busy(t *testing.T, looker *lookertest.Server) *lookerauth.Cache {
	t.Helper()
	cache := newCache(t, looker)
	accessToken(t, cache.ServiceAccount())
	failing(looker, lookertest.OpLoginUser, delayed(slowLogin))
	return cache
}

func TestColdStartServesEverybodyAsFastAsLookerCan(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := busy(t, looker)
		before := time.Now()
		together(2000, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		ideal := 2000 / 16 * slowLogin
		if took := time.Since(before); took > ideal*11/10 {
			t.Errorf("it took %v, want %v at most", took, ideal*11/10)
		}
		checkCalls(t, looker, 1, 2000)
	})
}

// Who gets no turn in time learns of the queue. That is no failure of his.
func TestWhoLeavesTheQueueIsToldAndNotHeldDown(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := busy(t, looker)
		before := time.Now()
		var mu sync.Mutex
		var served int
		var queued []string // users whose caller has left the queue
		together(2000, func(i int) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := cache.User(nthUser(i)).TokenContext(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				served++
				return
			}
			checkTook(t, before, 10*time.Second)
			checkError(t, err, context.DeadlineExceeded)
			if err == context.DeadlineExceeded {
				return // the login was under way
			}
			checkErrorSays(t, err, "logins come before this one", "raise MaxConcurrentLogins")
			queued = append(queued, nthUser(i))
		})
		// 20 times 16, give or take those that are just under way.
		if served < 288 || served > 320 || len(queued) < 2000-served-32 {
			t.Errorf("%d were served, and %d left the queue", served, len(queued))
		}
		time.Sleep(slowLogin)
		again := time.Now()
		accessToken(t, cache.User(queued[0]))
		checkTook(t, again, slowLogin)
		// Those that were on the wire when their callers left, or just then, went on.
		if n := looker.Count(lookertest.OpLoginUser, ""); n > served+1+2*16 {
			t.Errorf("%d calls for %d who waited for them", n, served+1)
		}
	})
}

// A caller who is called off in the queue has not run out of time, and may ask the error.
func TestWhoIsCalledOffInTheQueueHasNotTimedOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := busy(t, looker)
		for i := range 32 {
			go func() { _, _ = cache.User(nthUser(i)).TokenContext(t.Context()) }()
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(slowLogin/2, cancel)
		_, err := cache.User("789").TokenContext(ctx)
		checkErrorSays(t, err, "come before this one", "context canceled")
		var late interface{ Timeout() bool }
		if !errors.As(err, &late) || late.Timeout() {
			t.Errorf("%v is a time-out", err)
		}
	})
}

func TestNewcomerGoesBeforeRefreshes(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		together(3000, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		time.Sleep(58 * time.Minute)
		failing(looker, lookertest.OpLoginUser, delayed(slowLogin))
		together(3000, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		time.Sleep(10 * slowLogin)
		before := time.Now()
		accessToken(t, cache.User("newcomer"))
		if took := time.Since(before); took > 2*slowLogin {
			t.Errorf("the newcomer waited for %v", took)
		}
		// What is not refreshed in time is waited for, and nobody fails.
		for range 6 {
			time.Sleep(20 * time.Second)
			together(3000, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		}
		if n := looker.Count(lookertest.OpLoginUser, ""); n != 6001 {
			t.Errorf("%d calls of login_user, want 2 for each user, and 1", n)
		}
	})
}

func TestMadeUpUsersWhoseCallersLeaveHoldUpNobody(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := busy(t, looker)
		together(20000, func(i int) {
			time.Sleep(time.Duration(i) * 100 * time.Microsecond) // for two seconds
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if i == 10000 {
				before := time.Now()
				accessToken(t, cache.User("real"))
				if took := time.Since(before); took > 2*time.Second {
					t.Errorf("the real user waited for %v", took)
				}
				return
			}
			if _, err := cache.User(nthUser(i)).TokenContext(ctx); err == nil {
				t.Error("a login took no time")
			}
		})
		synctest.Wait()
		time.Sleep(time.Minute)
		if n := looker.Count(lookertest.OpLoginUser, ""); n > 100 {
			t.Errorf("%d calls were made, of which nobody waited for but one", n)
		}
	})
}

// A refresh that somebody joins has a caller's place, and a caller's tries.
func TestJoinedRefreshIsACallersLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(1))
		together(100, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		time.Sleep(58 * time.Minute)
		last := nthUser(99)
		var tries atomic.Int64
		looker.FailFunc(func(req lookertest.Request) lookertest.Fault {
			if req.Op == lookertest.OpLoginUser && req.UserID == last && tries.Add(1) < 3 {
				return answered(503)
			}
			return lookertest.Fault{Delay: slowLogin}
		})
		for i := range 100 {
			accessToken(t, cache.User(nthUser(i)))
			synctest.Wait()
		}
		invalidate(t, cache.User(last))
		before := time.Now()
		accessToken(t, cache.User(last))
		// Its tries, the pauses between them, and in each of those one login of another user.
		if took := time.Since(before); took > 5*slowLogin || tries.Load() != 3 {
			t.Errorf("it waited for %v, and had %d tries", took, tries.Load())
		}
	})
}

// Nobody waits for it any more, so whoever does is served before.
func TestRefreshThatItsCallerHasLeftIsARefreshAgain(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(1))
		left := cache.User("left")
		accessToken(t, left)
		time.Sleep(58 * time.Minute)
		failing(looker, lookertest.OpLoginUser, delayed(slowLogin))
		busy := tokenInBackground(cache.User("busy"))
		synctest.Wait()
		accessToken(t, left) // its refresh has to wait
		invalidate(t, left)
		ctx, cancel := context.WithTimeout(t.Context(), slowLogin/4)
		defer cancel()
		if _, err := left.TokenContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		before := time.Now()
		accessToken(t, cache.User("newcomer"))
		checkTook(t, before, slowLogin*3/4+slowLogin)
		if err := <-busy; err != nil {
			t.Error(err)
		}
	})
}

func TestPlaceInTheQueueIsGivenUpWhenTheCacheCloses(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := busy(t, looker)
		var waiting []<-chan error
		for i := range 100 {
			waiting = append(waiting, tokenInBackground(cache.User(nthUser(i))))
		}
		time.Sleep(slowLogin / 2)
		closeCache(t, cache)
		for _, result := range waiting {
			if err := <-result; !errors.Is(err, lookerauth.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
	})
}
