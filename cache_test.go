package lookerauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func maxUsers(n int) func(*lookerauth.Config) {
	return func(cfg *lookerauth.Config) { cfg.MaxUsers = n }
}

func TestEvictedUserIsLoggedOutAndItsHandleWorksAgain(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(2))
		first := cache.User("1")
		token := accessToken(t, first)
		accessToken(t, cache.User("2"))
		accessToken(t, cache.User("3"))
		synctest.Wait()
		if n := looker.Alive()["1"]; n != 0 {
			t.Errorf("%d tokens of the evicted user are alive", n)
		}
		if accessToken(t, first) == token {
			t.Error("the evicted token was served")
		}
		synctest.Wait()
		stats := cache.Stats()
		if stats.Users != 2 || stats.Evictions != 2 || stats.Logouts != 2 || stats.Logins != 5 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestLeastRecentlyUsedIsEvicted(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(3))
		one := cache.User("1") // a handle that is kept counts as use, too
		accessToken(t, one)
		accessToken(t, cache.User("2"))
		accessToken(t, cache.User("3"))
		accessToken(t, one)
		accessToken(t, cache.User("4"))
		synctest.Wait()
		if alive := looker.Alive(); alive["1"] != 1 || alive["2"] != 0 || alive["3"] != 1 || alive["4"] != 1 {
			t.Errorf("alive: %v", alive)
		}
	})
}

func TestUserUsedWithinASixteenthOfTheCacheIsNotEvicted(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const size = 64
		cache := newCache(t, looker, maxUsers(size))
		regular := cache.User("regular")
		for i := range 5 * size {
			accessToken(t, cache.User(fmt.Sprint(i)))
			if i%(size/16) == 0 {
				accessToken(t, regular)
			}
		}
		if n := looker.CallsAs(lookertest.LoginUser, "regular"); n != 1 {
			t.Errorf("the regular logged in %d times", n)
		}
	})
}

// Recency is measured in users taken in. One that was used later than another may be evicted before it, but only if fewer
// than a sixteenth of the cache were taken in between.
func TestEvictionOrderIsWrongByASixteenthOfTheCacheAtMost(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const size, wrong = 64, 3
		evicted := make(chan string, 1)
		looker.FailFunc(func(call lookertest.Call) *lookertest.Fault {
			if call.Op == lookertest.Logout {
				evicted <- call.UserID
			}
			return nil
		})
		cache := newCache(t, looker, maxUsers(size))
		takenIn, lastUse := 0, map[string]int{} // lastUse is what takenIn was then
		random := rand.New(rand.NewPCG(1, 2))
		for range 4000 {
			userID := fmt.Sprint(random.ExpFloat64() * 2 * size)[:2] // few users often, many rarely
			accessToken(t, cache.User(userID))
			if _, cached := lastUse[userID]; !cached {
				takenIn++
			}
			lastUse[userID] = takenIn
			if len(lastUse) <= size {
				continue
			}
			gone := <-evicted
			for other, used := range lastUse {
				if lastUse[gone]-used > wrong {
					t.Fatalf("%s was evicted, used when %d users had been taken in, rather than %s, used at %d", gone, lastUse[gone], other, used)
				}
			}
			delete(lastUse, gone)
		}
		if n := cache.Stats().Evictions; n < 500 {
			t.Errorf("only %d evictions", n)
		}
		looker.FailFunc(nil)
	})
}

func TestHandleNeverServesAnEvictedToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const size = 64
		cache := newCache(t, looker, maxUsers(size))
		var handles []*lookerauth.TokenSource
		for i := range size {
			handles = append(handles, cache.User(fmt.Sprint(i)))
			accessToken(t, handles[i])
		}
		for _, handle := range handles { // all are equally recent, so the one that is evicted is, too
			accessToken(t, handle)
		}
		accessToken(t, cache.User("one too many"))
		synctest.Wait()
		evicted, alive := 0, looker.Alive()
		for i, handle := range handles {
			if alive[fmt.Sprint(i)] == 1 {
				continue
			}
			evicted++
			if got := whoAnswered(t, t.Context(), handle.Client(), looker.URL+"/api/4.0/looks"); got != fmt.Sprint(i) {
				t.Errorf("answered as %q", got)
			}
		}
		if replays := cache.Stats().Replays; evicted != 1 || replays != 0 {
			t.Errorf("%d evicted, %d requests sent with a token that was logged out", evicted, replays)
		}
	})
}

func TestHandlesOfOneUserShareItsToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		one, other := cache.User("789"), cache.User("789")
		first := accessToken(t, one)
		if accessToken(t, other) != first {
			t.Error("two tokens")
		}
		other.Invalidate(must(other.Token()))
		second := accessToken(t, one)
		if second == first || accessToken(t, other) != second {
			t.Error("a handle serves a token that was dropped")
		}
		time.Sleep(59 * time.Minute)
		accessToken(t, one)
		synctest.Wait()
		if third := accessToken(t, other); third == second || accessToken(t, one) != third {
			t.Error("a handle serves a token that was replaced")
		}
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestCloseLogsEverybodyOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		var last atomic.Value
		looker.FailFunc(func(call lookertest.Call) *lookertest.Fault {
			if call.Op == lookertest.Logout {
				last.Store(call.UserID)
			}
			return nil
		})
		user := cache.User("0")
		for i := range 40 {
			accessToken(t, cache.User(fmt.Sprint(i)))
		}
		accessToken(t, user)
		time.Sleep(58 * time.Minute)
		accessToken(t, user) // an old token and a new one
		synctest.Wait()
		time.Sleep(time.Second)
		cfg := cache.Stats()

		if err := cache.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive at Looker: %v", alive)
		}
		if last.Load() != lookertest.ServiceAccount {
			t.Errorf("%q was logged out last, want the service account", last.Load())
		}
		if n := cache.Stats().Logouts - cfg.Logouts; n != 43 {
			t.Errorf("%d logouts, want 40 users, the service account, and an old token of it and of one user", n)
		}
		for _, source := range []*lookerauth.TokenSource{user, cache.User("99"), cache.ServiceAccount()} {
			if _, err := source.Token(); !errors.Is(err, lookerauth.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
		if _, err := user.Client().Get(looker.URL); !errors.Is(err, lookerauth.ErrClosed) {
			t.Errorf("request after Close: %v", err)
		}
		if err := user.Logout(t.Context()); !errors.Is(err, lookerauth.ErrClosed) {
			t.Errorf("Logout after Close: %v", err)
		}
		if err := cache.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestNothingIsServedWhileCloseWaits(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		slow := false
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(context.Context, string, *http.Client) error {
				if slow {
					time.Sleep(time.Minute)
				}
				return nil
			}
		})
		accessToken(t, cache.User("789"))
		slow = true
		go func() { _, _ = cache.User("790").Token() }()
		synctest.Wait()
		go func() { _ = cache.Close(t.Context()) }()
		synctest.Wait()
		if _, err := cache.User("789").Token(); !errors.Is(err, lookerauth.ErrClosed) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
	})
}

func TestStalledLogoutsDoNotHoldUpLogins(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(1), func(cfg *lookerauth.Config) { cfg.MaxConcurrentLogins = 1 })
		looker.Fail(lookertest.Logout, -1, lookertest.Fault{Delay: time.Hour})
		before := time.Now()
		for i := range 10 {
			accessToken(t, cache.User(fmt.Sprint(i)))
		}
		if took := time.Since(before); took != 0 {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = cache.Close(ctx)
	})
}

func TestSecondCloseDoesNotCutTheFirstShort(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(1))
		looker.Fail(lookertest.Logout, -1, lookertest.Fault{Delay: time.Second})
		accessToken(t, cache.User("1"))
		accessToken(t, cache.User("2")) // evicts the other, whose logout takes a second
		closed := make(chan error)
		go func() { closed <- cache.Close(t.Context()) }()
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := cache.Close(ended); err != nil {
			t.Errorf("the second Close: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("the first Close: %v", err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive at Looker: %v", alive)
		}
	})
}

func TestTokenThatLivesLongerAtLookerIsLoggedOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: 5 * time.Second})
		accessToken(t, cache.User("789"))
		time.Sleep(time.Hour - 4*time.Second) // expired here, where life starts with the request; not there
		if n := looker.Alive()["789"]; n != 1 {
			t.Fatalf("%d tokens alive before Close", n)
		}
		if err := cache.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive at Looker: %v", alive)
		}
	})
}

func TestExpiredTokensAreNotLoggedOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.User("789"))
		time.Sleep(2 * time.Hour)
		if err := cache.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := looker.Calls(lookertest.Logout); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestCloseCancelsLoginsUnderWay(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: time.Minute})
		waiter := make(chan error)
		go func() {
			_, err := cache.User("789").Token()
			waiter <- err
		}()
		synctest.Wait()
		before := time.Now()
		closed := make(chan error)
		go func() { closed <- cache.Close(t.Context()) }()
		if err := <-waiter; !errors.Is(err, lookerauth.ErrClosed) {
			t.Errorf("the waiter got %v", err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("Close took %v", waited)
		}
	})
}

func TestCloseEndsLoginsThatWaitForAnotherTry(t *testing.T) {
	for name, fault := range map[string]lookertest.Fault{
		"backoff": {Status: 503},
		"pause":   {Status: 429, Header: http.Header{"Retry-After": {"20"}}},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker)
				accessToken(t, cache.ServiceAccount())
				looker.Fail(lookertest.LoginUser, -1, fault)
				errs := make(chan error)
				for _, userID := range []string{"789", "790"} { // the second finds logins paused
					go func() {
						_, err := cache.User(userID).Token()
						errs <- err
					}()
					synctest.Wait()
				}
				before := time.Now()
				closed := make(chan error)
				go func() { closed <- cache.Close(t.Context()) }()
				for range 2 {
					if err := <-errs; !errors.Is(err, lookerauth.ErrClosed) {
						t.Errorf("a waiter got %v", err)
					}
				}
				if waited := time.Since(before); waited != 0 {
					t.Errorf("the waiters left after %v", waited)
				}
				if err := <-closed; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestLoginThatIgnoresCloseLeavesNoToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(context.Context, string, *http.Client) error {
				time.Sleep(time.Second)
				return nil
			}
		})
		waiter, closed := make(chan error), make(chan error)
		go func() {
			_, err := cache.ServiceAccount().Token()
			waiter <- err
		}()
		synctest.Wait()
		go func() { closed <- cache.Close(t.Context()) }()
		if err := <-waiter; !errors.Is(err, lookerauth.ErrClosed) {
			t.Errorf("the waiter got %v", err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive at Looker: %v", alive)
		}
	})
}

func TestCloseEndsWithItsContextAndSaysWhatIsLeft(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(2))
		for i := range 3 {
			accessToken(t, cache.User(fmt.Sprint(i)))
		}
		synctest.Wait()
		looker.Fail(lookertest.Logout, -1, lookertest.Fault{Delay: time.Hour})
		accessToken(t, cache.User("4")) // its eviction waits for Looker
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		err := cache.Close(ctx)
		if err == nil || !strings.Contains(err.Error(), "3 of 3") || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(before); waited != time.Second {
			t.Errorf("Close took %v", waited)
		}
	})
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(5))
		looker.SetTokenLife(20 * time.Second)
		client := &http.Client{Transport: cache.Transport(nil)}
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := range 300 {
					user := fmt.Sprint((worker + i) % 9)
					switch source := cache.User(user); i % 60 {
					case 20:
						looker.Revoke(user)
					case 40:
						_ = source.Logout(t.Context())
					case 50:
						source.Invalidate(must(source.Token()))
					}
					ctx := lookerauth.WithUser(t.Context(), user)
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, looker.URL+"/api/4.0/looks", nil)
					resp, err := client.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					var a answer
					_ = json.NewDecoder(resp.Body).Decode(&a)
					resp.Body.Close()
					if resp.StatusCode == http.StatusOK && a.UserID != user {
						t.Errorf("user %s was answered as %q", user, a.UserID)
					}
					_ = cache.Stats()
					time.Sleep(time.Duration(worker+1) * 100 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if err := cache.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if alive := looker.Alive(); len(alive) != 0 {
			t.Errorf("alive at Looker: %v", alive)
		}
	})
}
