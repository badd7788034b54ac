package lookerauth_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestCloseLogsEverybodyOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(1))
		var first atomic.Value
		looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			if call.Op == lookertest.OpLogout {
				first.CompareAndSwap(nil, call.UserID)
			}
			return lookertest.Fault{}
		})
		user := cache.User(nthUser(0))
		useUsers(t, cache, 40)
		accessToken(t, user)
		time.Sleep(58 * time.Minute)
		accessToken(t, user) // an old token and a new one
		synctest.Wait()
		time.Sleep(time.Second)
		before := cache.Stats().Logouts

		closeCache(t, cache)
		checkNoneAlive(t, looker)
		if first.Load() != lookertest.ServiceAccountID {
			t.Errorf("%q was logged out first, want the service account", first.Load())
		}
		// 40 users, the service account, and an old token of it and of one user.
		if n := cache.Stats().Logouts - before; n != 43 {
			t.Errorf("%d logouts, want 43", n)
		}
		failsWith(t, user, lookerauth.ErrClosed)
		failsWith(t, cache.User("99"), lookerauth.ErrClosed)
		failsWith(t, cache.ServiceAccount(), lookerauth.ErrClosed)
		_, err := user.Client().Get(looker.URL)
		checkError(t, err, lookerauth.ErrClosed)
		checkError(t, user.Logout(t.Context()), lookerauth.ErrClosed)
		closeCache(t, cache) // again
	})
}

func TestTokenThatLivesLongerAtLookerIsLoggedOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		failing(looker, lookertest.OpLoginUser, delayed(5*time.Second))
		accessToken(t, cache.User("789"))
		// It has expired here, where life starts with the request, and not there.
		time.Sleep(time.Hour - 4*time.Second)
		checkAlive(t, looker, "789", 1)
		closeCache(t, cache)
		checkNoneAlive(t, looker)
	})
}

func TestExpiredTokensAreNotLoggedOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.User("789"))
		time.Sleep(2 * time.Hour)
		closeCache(t, cache)
		checkLogouts(t, looker, 0)
	})
}

func TestNothingIsServedWhileCloseWaits(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		slow := false
		cache := newCache(t, looker, afterLogin(func() error {
			if slow {
				time.Sleep(time.Minute)
			}
			return nil
		}))
		accessToken(t, cache.User("789"))
		slow = true
		tokenInBackground(cache.User("790"))
		synctest.Wait()
		closeInBackground(t, cache)
		synctest.Wait()
		failsWith(t, cache.User("789"), lookerauth.ErrClosed)
		time.Sleep(time.Minute)
	})
}

func TestSecondCloseWaitsForTheFirst(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(1))
		slow := answered(403)
		slow.Delay = time.Second
		failing(looker, lookertest.OpLogout, slow)
		accessToken(t, cache.User("1"))
		before := time.Now()
		first := closeInBackground(t, cache)
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		checkError(t, cache.Close(ended), context.Canceled) // and does not cut the first short
		second := cache.Close(t.Context())
		checkTook(t, before, time.Second)
		if err := <-first; err == nil || second != err || cache.Close(t.Context()) != err {
			t.Errorf("the first: %v; the second: %v", err, second)
		}
	})
}

func TestCloseGivesUpOnceNoLogoutSucceeds(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		useUsers(t, cache, 160)
		failing(looker, lookertest.OpLogout, delayed(time.Hour))
		before := time.Now()
		checkErrorSays(t, cache.Close(t.Context()), "161 of 161", "no logout has succeeded")
		checkTook(t, before, 30*time.Second)
	})
}

func TestCloseGoesOnWhileLogoutsSucceed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(1))
		useUsers(t, cache, 5)
		failing(looker, lookertest.OpLogout, delayed(9*time.Second))
		before := time.Now()
		closeCache(t, cache)
		checkTook(t, before, 54*time.Second)
		checkNoneAlive(t, looker)
	})
}

func TestCloseCancelsLoginsUnderWay(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		failing(looker, lookertest.OpLoginUser, delayed(time.Minute))
		waiter := tokenInBackground(cache.User("789"))
		synctest.Wait()
		before := time.Now()
		closed := closeInBackground(t, cache)
		checkError(t, <-waiter, lookerauth.ErrClosed)
		checkError(t, <-closed, nil)
		checkTook(t, before, 0)
	})
}

func TestCloseEndsLoginsThatWaitForAnotherTry(t *testing.T) {
	for name, fault := range map[string]lookertest.Fault{
		"backoff": answered(503),
		"pause":   rateLimited("20"),
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker)
				accessToken(t, cache.ServiceAccount())
				failing(looker, lookertest.OpLoginUser, fault)
				first := tokenInBackground(cache.User("789"))
				synctest.Wait()
				second := tokenInBackground(cache.User("790")) // finds logins paused
				synctest.Wait()
				before := time.Now()
				closed := closeInBackground(t, cache)
				checkError(t, <-first, lookerauth.ErrClosed)
				checkError(t, <-second, lookerauth.ErrClosed)
				checkTook(t, before, 0)
				checkError(t, <-closed, nil)
			})
		})
	}
}

func TestLoginThatIgnoresCloseLeavesNoToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, afterLogin(func() error {
			time.Sleep(time.Second)
			return nil
		}))
		waiter := tokenInBackground(cache.ServiceAccount())
		synctest.Wait()
		closed := closeInBackground(t, cache)
		checkError(t, <-waiter, lookerauth.ErrClosed)
		checkError(t, <-closed, nil)
		checkNoneAlive(t, looker)
	})
}

func TestCloseEndsWithItsContextAndSaysWhatIsLeft(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(2))
		useUsers(t, cache, 3)
		synctest.Wait()
		failing(looker, lookertest.OpLogout, delayed(time.Hour))
		accessToken(t, cache.User("4")) // its eviction waits for Looker
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		err := cache.Close(ctx)
		checkError(t, err, context.DeadlineExceeded)
		checkErrorSays(t, err, "3 of 3")
		checkTook(t, before, time.Second)
	})
}

// It is worth the most. Which users are logged out by then is as it comes.
func TestCloseEndsTheServiceAccountFirst(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(1))
		useUsers(t, cache, 100)
		failing(looker, lookertest.OpLogout, delayed(50*time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), 75*time.Millisecond)
		defer cancel()
		checkErrorSays(t, cache.Close(ctx), "of 101")
		if n := looker.Alive()[lookertest.ServiceAccountID]; n != 0 {
			t.Error("the service account's token is alive")
		}
	})
}

func TestCloseLogsOutWhileCodeOfTheUsersHangs(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		hangs := func(_ context.Context, login lookerauth.Login) error {
			if login.UserID == "790" {
				time.Sleep(time.Hour)
			}
			return nil
		}
		cache := newCache(t, looker, withAfterLogin(hangs))
		accessToken(t, cache.User("789"))
		tokenInBackground(cache.User("790"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		checkError(t, cache.Close(ctx), context.DeadlineExceeded)
		if n := looker.Alive(); n["789"] != 0 || n[lookertest.ServiceAccountID] != 0 {
			t.Errorf("alive at Looker: %v", n)
		}
		time.Sleep(time.Hour)
	})
}

func TestCloseWaitsForTheLogger(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		logs := make(chan string, 100)
		log := handlerFunc(func(_ context.Context, record slog.Record) {
			if strings.HasSuffix(record.Message, "logged in") {
				time.Sleep(10 * time.Second)
			}
			logs <- record.Message
		})
		cache := newCache(t, looker, withLog(log))
		looker.FailNext(lookertest.OpLogin, delayed(time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := cache.ServiceAccount().TokenContext(ctx)
		checkError(t, err, context.DeadlineExceeded)
		time.Sleep(time.Second) // the login has ended, and is being logged
		closeCache(t, cache)
		close(logs) // the Logger would panic if it were called later
		time.Sleep(time.Minute)
		if len(logs) == 0 {
			t.Error("nothing was logged")
		}
	})
}

// Close has given up, and a login comes home: what that does in the background breaks nothing.
func TestLoginMayComeHomeAfterCloseGaveUp(t *testing.T) {
	for range 100 {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			home := make(chan struct{})
			cache := newCache(t, looker, maxUsers(1), afterLogin(func() error {
				<-home
				return nil
			}))
			go func() { home <- struct{}{}; home <- struct{}{} }()
			accessToken(t, cache.User("1"))
			failing(looker, lookertest.OpLogout, delayed(time.Millisecond))
			done := tokenInBackground(cache.User("2"))
			synctest.Wait()
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if cache.Close(ended) == nil {
				t.Error("Close has waited")
			}
			close(home)
			checkError(t, <-done, lookerauth.ErrClosed)
		})
	}
}

func TestCloseAgainReturnsTheSameErrorWhateverItsContext(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		closeCache(t, cache)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 {
			checkError(t, cache.Close(ended), nil)
		}
	})
}

func TestLoggerMayCloseAgainOnceItIsTold(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var cache *lookerauth.Cache
		closes := handlerFunc(func(ctx context.Context, record slog.Record) {
			if record.Message == "lookerauth: closed" {
				checkError(t, cache.Close(ctx), nil)
				exit()
			}
		})
		cache = newCache(t, looker, withLog(closes))
		go func() { _ = cache.Close(t.Context()) }()
		synctest.Wait()
		checkError(t, cache.Close(t.Context()), nil)
	})
}

func TestCloseGivesUpALoginTimeoutAfterTheLastLogout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		useUsers(t, cache, 160)
		var logouts atomic.Int64
		looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			if call.Op == lookertest.OpLogout && logouts.Add(1) > 1 {
				return delayed(time.Hour)
			}
			return lookertest.Fault{}
		})
		before := time.Now()
		checkErrorSays(t, cache.Close(t.Context()), "no logout has succeeded")
		if took := time.Since(before); took < 30*time.Second || took > 34*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
