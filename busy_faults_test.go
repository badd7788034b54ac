package lookerauth_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// slowLogins lets every login take half a second.
func slowLogins(looker *lookertest.Server) {
	looker.FailFunc(func(r lookertest.Request) lookertest.Fault {
		if r.Op == lookertest.OpLogin || r.Op == lookertest.OpLoginUser {
			return delayed(slowLogin)
		}
		return lookertest.Fault{}
	})
}

// mostAtOnce is the most user logins that were on the wire at once. All get the fault.
func mostAtOnce(looker *lookertest.Server, fault lookertest.Fault) *atomic.Int64 {
	var most atomic.Int64
	var last time.Time
	var n int64
	looker.FailFunc(func(r lookertest.Request) lookertest.Fault {
		if r.Op != lookertest.OpLoginUser {
			return lookertest.Fault{}
		}
		if now := time.Now(); now.Sub(last) >= fault.Delay {
			last, n = now, 0
		}
		n++
		most.Store(max(most.Load(), n))
		return fault
	})
	return &most
}

// Those who wait for the service account have not had their turn.
func TestLossOfTheServiceAccountsTokenInABusyMomentFailsNobody(t *testing.T) {
	for name, options := range map[string][]option{
		"alone": nil, "with a Store": {withStore(newMemoryStore())},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker, options...)
				accessToken(t, cache.ServiceAccount())
				slowLogins(looker)
				time.AfterFunc(5*time.Second+slowLogin/2, func() { looker.RevokeAll() })
				before := time.Now()
				together(2000, func(i int) {
					if _, err := cache.User(nthUser(i)).Token(); err != nil {
						t.Error(err)
					}
				})
				most := 2000/16*slowLogin*11/10 + slowLogin
				if took := time.Since(before); took > most {
					t.Errorf("it took %v, want %v at most", took, most)
				}
			})
		})
	}
}

// Other processes use it.
func TestWhoLeavesRevokesNoTokenThatTheStoreHad(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		first := newCache(t, looker, withStore(store))
		second := newCache(t, looker, withStore(store), maxConcurrentLogins(1))
		useUsers(t, first, 200)
		accessToken(t, second.ServiceAccount())
		failing(looker, lookertest.OpLoginUser, delayed(time.Hour))
		tokenInBackground(second.User("busy"))
		synctest.Wait()
		for i := range 200 { // as it takes luck to leave at that moment
			ctx, cancel := context.WithCancel(t.Context())
			store.onCall(func(op string) error {
				if op == "Get" {
					cancel()
				}
				return nil
			})
			second.User(nthUser(i)).TokenContext(ctx)
			store.works()
			synctest.Wait()
		}
		if n := looker.Count(lookertest.OpLogout, ""); n != 0 {
			t.Errorf("%d tokens were logged out", n)
		}
		time.Sleep(time.Minute)
	})
}

func TestWaitForTheServiceAccountIsBoundedOnceALoginHasBegun(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.RevokeAll()
		failing(looker, lookertest.OpLogin, delayed(time.Hour))
		looker.FailNext(lookertest.OpLoginUser, delayed(9*time.Second)) // then 401
		before := time.Now()
		_, err := cache.User("789").Token()
		checkTook(t, before, 30*time.Second)
		checkError(t, err, context.DeadlineExceeded)
		checkErrorSays(t, err, "LoginTimeout")
		time.Sleep(time.Minute)
	})
}

// Logging in for another one would hardly help.
func TestServiceAccountsTokenThatHasEndedWhenItComesIsTried(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		looker.SetTokenLife(2 * time.Second)
		failing(looker, lookertest.OpLogin, delayed(2500*time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := cache.User("789").TokenContext(ctx)
		checkError(t, err, nil) // Looker counts from when it issued the token
		checkCalls(t, looker, 3, 1)
	})
}

func TestAfterLoginHasWhatIsLeft(t *testing.T) {
	for name, delays := range map[string][3]time.Duration{
		"of LoginTimeout":                 {0, 0, 8 * time.Second},
		"after two tries without answers": {time.Hour, time.Hour, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker, withAfterLogin(
					func(ctx context.Context, login lookerauth.Login) error {
						if login.UserID == "" {
							return nil
						}
						<-ctx.Done()
						return ctx.Err()
					}))
				accessToken(t, cache.ServiceAccount())
				for _, delay := range delays {
					if delay > 0 {
						looker.FailNext(lookertest.OpLoginUser, delayed(delay))
					}
				}
				before := time.Now()
				_, err := cache.User("789").Token()
				checkTook(t, before, 30*time.Second)
				checkErrorSays(t, err, "AfterLogin", "LoginTimeout")
			})
		})
	}
}

// An answer may come just after the end, as who is cut short has a moment to say why.
func TestAfterLoginHasNothingLeftAfterLoginTimeout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var begin time.Time
		tries := 0
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(req.URL.Path, "/login/789") {
				return looker.Transport().RoundTrip(req)
			}
			if tries++; tries < 3 {
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			time.Sleep(time.Until(begin.Add(30*time.Second + time.Millisecond)))
			body := `{"access_token":"abc","token_type":"Bearer","expires_in":3600}`
			return respond(http.StatusOK, nil, body), nil
		})
		cache := newCache(t, looker, withTransport(base), withAfterLogin(
			func(ctx context.Context, login lookerauth.Login) error {
				if login.UserID != "" {
					<-ctx.Done()
				}
				return ctx.Err()
			}))
		accessToken(t, cache.ServiceAccount())
		begin = time.Now()
		_, err := cache.User("789").Token()
		if took := time.Since(begin); took > 31*time.Second {
			t.Errorf("it took %v: %v", took, err)
		}
		checkErrorSays(t, err, "AfterLogin", "LoginTimeout")
	})
}

// paused is a Cache whose logins are paused for four minutes.
func paused(t *testing.T, looker *lookertest.Server, options ...option) *lookerauth.Cache {
	t.Helper()
	cache := newCache(t, looker, options...)
	accessToken(t, cache.ServiceAccount())
	looker.FailNext(lookertest.OpLoginUser, rateLimited("240"))
	failsWith(t, cache.User("paused"), lookerauth.ErrRateLimited)
	return cache
}

func TestTokenFromTheStoreProvesNoPauseOver(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		other := newCache(t, looker, withStore(store))
		accessToken(t, other.User("shared"))
		cache := paused(t, looker, withStore(store))
		time.Sleep(241 * time.Second)
		accessToken(t, cache.User("shared"))
		fault := rateLimited("240")
		fault.Delay = time.Second
		most := mostAtOnce(looker, fault)
		together(100, func(i int) {
			failsWith(t, cache.User(nthUser(i)), lookerauth.ErrRateLimited)
		})
		if n := most.Load(); n != 1 {
			t.Errorf("%d calls at once probed", n)
		}
	})
}

func TestProbeThatIsRefusedWithoutRetryAfterIsFollowedByAnother(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := paused(t, looker)
		time.Sleep(241 * time.Second)
		fault := answered(http.StatusTooManyRequests)
		fault.Delay = time.Second
		most := mostAtOnce(looker, fault)
		together(50, func(i int) {
			failsWith(t, cache.User(nthUser(i)), lookerauth.ErrRateLimited)
		})
		if n := most.Load(); n != 1 {
			t.Errorf("%d calls at once probed", n)
		}
	})
}

func TestRetryAfterOutlastsTheLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		for userID, want := range map[string]time.Duration{
			"60": time.Minute, "4000": 5 * time.Minute,
		} {
			looker.FailNext(lookertest.OpLoginUser, lookertest.Fault{
				Status: http.StatusServiceUnavailable,
				Header: http.Header{"Retry-After": {userID}},
			})
			user := cache.User(userID)
			_, first := user.Token()
			time.Sleep(want - 1)
			calls := looker.Count(lookertest.OpLoginUser, userID)
			_, err := user.Token()
			if first == nil || err == nil || looker.Count(lookertest.OpLoginUser, userID) != calls {
				t.Errorf("after almost %v: got %v, and before that %v", want, err, first)
			}
			time.Sleep(time.Nanosecond)
			accessToken(t, user)
		}
	})
}

func TestLoginThatNobodyWaitsForAnyMoreIsNotTriedAgain(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		fault := answered(503)
		fault.Delay = 100 * time.Millisecond
		failing(looker, lookertest.OpLoginUser, fault)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := cache.User("789").TokenContext(ctx)
		checkError(t, err, context.DeadlineExceeded)
		time.Sleep(time.Minute)
		checkCalls(t, looker, 1, 1)
		if failed := cache.Stats().UserLogins.Failed.Unavailable; failed != 1 {
			t.Errorf("%d logins failed for a caller, who has left", failed)
		}
		healthy(looker)
		accessToken(t, cache.User("789"))
	})
}

func TestLogoutKeepsTheLoginThatIsQueued(t *testing.T) {
	for name, options := range map[string][]option{
		"alone": nil, "with a Store": {withStore(newMemoryStore())},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker, append(options, maxConcurrentLogins(1))...)
				accessToken(t, cache.ServiceAccount())
				failing(looker, lookertest.OpLoginUser, delayed(slowLogin))
				ask := func(userID string) <-chan error {
					result := tokenInBackground(cache.User(userID))
					synctest.Wait()
					return result
				}
				before := time.Now()
				first, user, last := ask("first"), ask("789"), ask("last")
				logOut(t, cache.User("789"))
				checkError(t, <-first, nil)
				checkError(t, <-user, nil)
				checkTook(t, before, 2*slowLogin)
				checkError(t, <-last, nil)
				if n := looker.Alive()["789"]; n != 1 {
					t.Errorf("the user has %d tokens", n)
				}
				checkCalls(t, looker, 1, 3)
			})
		})
	}
}

func TestAPIKeyThatHangsIsNotLookersFault(t *testing.T) {
	for name, wait := range map[string]func(context.Context) error{
		"whatever its context does": func(context.Context) error {
			time.Sleep(time.Hour)
			return nil
		},
		"until it is ended": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"and tells the cause": func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) { hangingAPIKey(t, wait) })
		t.Run(name+", with a Store", func(t *testing.T) {
			hangingAPIKey(t, wait, withStore(newMemoryStore()))
		})
	}
}

func hangingAPIKey(t *testing.T, wait func(context.Context) error, options ...option) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var asked atomic.Int64
		cache := newCache(t, looker, append(options, func(cfg *lookerauth.Config) {
			cfg.ClientID, cfg.ClientSecret = "", ""
			cfg.APIKey = func(ctx context.Context) (lookerauth.APIKey, error) {
				asked.Add(1)
				return lookerauth.APIKey{}, wait(ctx)
			}
		})...)
		before := time.Now()
		_, err := cache.ServiceAccount().Token()
		if took := time.Since(before); took > 11*time.Second {
			t.Errorf("it took %v", took)
		}
		checkErrorSays(t, err, "no API key: not within 10s")
		checkError(t, err, context.DeadlineExceeded)
		if n := cache.Stats().ServiceAccount.Failed.Other; n != 1 || asked.Load() != 1 {
			t.Errorf("asked %d times, %d failures are Other", asked.Load(), n)
		}
		_ = cache.User("789").Logout(t.Context()) // asks for it, with a Store
		time.Sleep(time.Hour)
	})
}

func TestErrorOfWhoLeavesTheQueueSaysWhatIsAhead(t *testing.T) {
	for want, prepare := range map[string]func(*testing.T, *lookertest.Server, *lookerauth.Cache){
		"login_user 789: 1 login comes before this one: raise MaxConcurrentLogins": func(
			_ *testing.T, looker *lookertest.Server, cache *lookerauth.Cache,
		) {
			failing(looker, lookertest.OpLoginUser, delayed(5*time.Second))
			tokenInBackground(cache.User("1"))
		},
		"login_user 789: logins are paused, as Looker asked for it": func(
			_ *testing.T, looker *lookertest.Server, cache *lookerauth.Cache,
		) {
			looker.FailNext(lookertest.OpLoginUser, rateLimited("20"))
			tokenInBackground(cache.User("1"))
		},
	} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache := newCache(t, looker, maxConcurrentLogins(1))
			accessToken(t, cache.ServiceAccount())
			prepare(t, looker, cache)
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			client := &http.Client{Transport: cache.User("789").Transport(looker.Transport())}
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, looker.URL+looks, nil)
			_, err := client.Do(req)
			checkErrorSays(t, err, want)
			checkError(t, err, context.DeadlineExceeded)
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("it is no time-out: %v", err)
			}
			time.Sleep(time.Minute)
		})
	}
}
