package lookerauth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// checkStats compares what the Cache says of itself, but for the time of logins and who waited.
func checkStats(t *testing.T, cache *lookerauth.Cache, want lookerauth.Stats) {
	t.Helper()
	got := cache.Stats()
	got.LoginTime, got.MaxUsers = want.LoginTime, want.MaxUsers
	got.WaitsServed, got.WaitsFailed, got.WaitsLeft = 0, 0, 0
	if got != want {
		t.Errorf("the figures are\n\t%+v\nwant\n\t%+v", got, want)
	}
}

// checkLoginTime compares what the Cache's logins took together.
func checkLoginTime(t *testing.T, cache *lookerauth.Cache, want time.Duration) {
	t.Helper()
	if took := cache.Stats().LoginTime; took != want {
		t.Errorf("the logins took %v, want %v", took, want)
	}
}

// What a failed login is counted as.
var (
	refused     = lookerauth.LoginFailures{Refused: 1}
	notFound    = lookerauth.LoginFailures{NotFound: 1}
	limited     = lookerauth.LoginFailures{RateLimited: 1}
	unavailable = lookerauth.LoginFailures{Unavailable: 1}
	other       = lookerauth.LoginFailures{Other: 1}
)

func TestFailedLoginIsCountedByWhatLookerAnswered(t *testing.T) {
	badGateway := lookertest.Fault{Status: 502, Body: "<html>Bad gateway</html>"}
	for name, test := range map[string]struct {
		fault         lookertest.Fault
		service, user lookerauth.LoginFailures // as whom login or login_user is called
	}{
		"400":                   {answered(400), refused, refused},
		"401":                   {answered(401), refused, refused},
		"403":                   {answered(403), refused, refused},
		"404":                   {answered(404), refused, notFound},
		"418":                   {answered(418), refused, refused},
		"429":                   {answered(429), limited, limited},
		"429, and a long pause": {rateLimited("3600"), limited, limited},
		"500":                   {answered(500), unavailable, unavailable},
		"503":                   {answered(503), unavailable, unavailable},
		"502 of a proxy":        {badGateway, unavailable, unavailable},
		"nothing":               {lookertest.Fault{Drop: true}, unavailable, unavailable},
		"nothing in time":       {delayed(time.Hour), unavailable, unavailable},
		"403 of a proxy":        {lookertest.Fault{Status: 403, Body: "no"}, other, other},
		"404 of a proxy":        {lookertest.Fault{Status: 404, Body: "no"}, other, other},
		"a page":                {answeredBody("<html>"), other, other},
		"a redirect":            {redirected(302, "/login"), other, other},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker)
				failing(looker, lookertest.OpLogin, test.fault)
				_, err := cache.ServiceAccount().Token()
				callError(t, err)
				if got := cache.Stats().ServiceAccount.Failed; got != test.service {
					t.Errorf("login: %+v, want %+v", got, test.service)
				}
			})
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker)
				failing(looker, lookertest.OpLoginUser, test.fault)
				_, err := cache.User("789").Token()
				callError(t, err)
				stats := cache.Stats()
				if got := stats.UserLogins.Failed; got != test.user {
					t.Errorf("login_user: %+v, want %+v", got, test.user)
				}
				if got := stats.ServiceAccount.Failed; got != (lookerauth.LoginFailures{}) {
					t.Errorf("login, which did not fail: %+v", got)
				}
			})
		})
	}
}

// It says nothing about Looker, whatever it looks like.
func TestFailureOfTheUsersCodeIsCountedAsOther(t *testing.T) {
	unreachable := withTransport(roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, errRefused
	}))
	for name, change := range map[string]func(elsewhere *lookerauth.Cache) option{
		"APIKey is late": func(*lookerauth.Cache) option {
			return withAPIKey(func() (string, string, error) {
				return "", "", context.DeadlineExceeded
			})
		},
		"AfterLogin fails": func(*lookerauth.Cache) option {
			return afterLogin(func() error { return errors.New("no") })
		},
		"AfterLogin is late": func(*lookerauth.Cache) option {
			return withAfterLogin(func(ctx context.Context, _ lookerauth.Login) error {
				<-ctx.Done()
				return ctx.Err()
			})
		},
		"AfterLogin fails at another Looker": func(elsewhere *lookerauth.Cache) option {
			return withAfterLogin(func(ctx context.Context, _ lookerauth.Login) error {
				_, err := elsewhere.ServiceAccount().TokenContext(ctx)
				return err
			})
		},
		"a Transport panics": func(*lookerauth.Cache) option {
			return withTransport(roundTripper(func(*http.Request) (*http.Response, error) {
				panic(context.DeadlineExceeded)
			}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker, change(newCache(t, looker, unreachable)))
				_, err := cache.ServiceAccount().Token()
				callError(t, err)
				want := lookerauth.LoginStats{Failed: other}
				if got := cache.Stats().ServiceAccount; got != want {
					t.Errorf("counted was %+v, want %+v", got, want)
				}
			})
		})
	}
}

// A login whose next try has to wait for a slot until LoginTimeout has passed is one that Looker
// was too slow for.
func TestLoginThatWaitsTooLongForItsNextTryIsCountedAsUnavailable(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(1))
		accessToken(t, cache.ServiceAccount())
		slow, tries := delayed(9990*time.Millisecond), 0
		looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			if call.UserID != "789" {
				return slow
			}
			tries++
			if tries == 1 {
				return lookertest.Fault{Delay: time.Second, Status: 503}
			}
			return delayed(time.Hour) // 10 s for this try
		})
		first := tokenInBackground(cache.User("789"))
		synctest.Wait()
		others := []<-chan error{
			tokenInBackground(cache.User("790")), tokenInBackground(cache.User("791")),
		}
		err := <-first
		checkErrorSays(t, err, "not done within LoginTimeout")
		for _, other := range others {
			checkError(t, <-other, nil)
		}
		if got := cache.Stats().UserLogins.Failed; got != unavailable {
			t.Errorf("%+v, want %+v", got, unavailable)
		}
	})
}

func TestLoginsAreCountedByWhetherACallerWaited(t *testing.T) {
	aging := func(t *testing.T, looker *lookertest.Server) (*lookerauth.Cache, *eventLog) {
		log := &eventLog{}
		cache := newCache(t, looker, withLog(log))
		accessToken(t, cache.ServiceAccount())
		time.Sleep(59 * time.Minute) // it is usable for 50 seconds yet
		failing(looker, lookertest.OpLogin, delayed(time.Second))
		return cache, log
	}
	expire := func(cache *lookerauth.Cache) <-chan error {
		invalidate(t, cache.ServiceAccount())            // starts a login in the background
		return tokenInBackground(cache.ServiceAccount()) // waits for it
	}
	t.Run("granted in the background", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache, log := aging(t, looker)
			accessToken(t, cache.ServiceAccount())
			time.Sleep(time.Minute)
			checkStats(t, cache, lookerauth.Stats{
				Logins: 2, ServiceAccount: lookerauth.LoginStats{Granted: 1, Refreshed: 1},
			})
			log.check(t, "logged in", 1)
			log.check(t, "token refreshed", 1)
		})
	})
	t.Run("failed in the background", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache, log := aging(t, looker)
			failing(looker, lookertest.OpLogin, answered(503))
			accessToken(t, cache.ServiceAccount())
			time.Sleep(time.Millisecond)
			checkStats(t, cache, lookerauth.Stats{
				Logins:         1,
				ServiceAccount: lookerauth.LoginStats{Granted: 1, RefreshFailed: unavailable},
			})
			log.check(t, "login failed", 1)

			time.Sleep(time.Minute) // the old token has gone
			_, err := cache.ServiceAccount().Token()
			callError(t, err)
			checkStats(t, cache, lookerauth.Stats{
				Logins: 1,
				ServiceAccount: lookerauth.LoginStats{
					Granted: 1, RefreshFailed: unavailable, Failed: unavailable,
				},
			})
		})
	})
	t.Run("granted to who joined it", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache, log := aging(t, looker)
			checkError(t, <-expire(cache), nil)
			checkStats(t, cache, lookerauth.Stats{
				Logins: 2, ServiceAccount: lookerauth.LoginStats{Granted: 2},
				Joins: 1, Rejections: 1,
			})
			synctest.Wait()
			log.check(t, "logged in", 2)
			log.check(t, "token refreshed", 0)
		})
	})
	t.Run("granted once who had waited for it has left", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache, _ := aging(t, looker)
			invalidate(t, cache.ServiceAccount()) // starts a login in the background
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := cache.ServiceAccount().TokenContext(ctx)
			checkError(t, err, context.DeadlineExceeded)
			time.Sleep(time.Second)
			checkStats(t, cache, lookerauth.Stats{
				Logins: 2, ServiceAccount: lookerauth.LoginStats{Granted: 2},
				Rejections: 1,
			})
		})
	})
	t.Run("failed for who joined it", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache, _ := aging(t, looker)
			refuse := answered(403)
			refuse.Delay = time.Second
			failing(looker, lookertest.OpLogin, refuse)
			callError(t, <-expire(cache))
			checkStats(t, cache, lookerauth.Stats{
				Logins:         1,
				ServiceAccount: lookerauth.LoginStats{Granted: 1, Failed: refused},
				Joins:          1, Rejections: 1,
			})
		})
	})
}

// A user's login that waits for the service account's joins that as a caller does.
func TestUsersLoginsJoinTheServiceAccounts(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		looker.FailNext(lookertest.OpLogin, delayed(time.Second))
		together(3, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		checkStats(t, cache, lookerauth.Stats{
			Users: 3, Logins: 4, Joins: 2,
			ServiceAccount: lookerauth.LoginStats{Granted: 1},
			UserLogins:     lookerauth.LoginStats{Granted: 3},
		})
	})
}

func TestWhatFailsForNobodyIsNotCounted(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *lookertest.Server, *lookerauth.Cache){
		"a login that Close ends": func(t *testing.T, looker *lookertest.Server,
			cache *lookerauth.Cache) {
			failing(looker, lookertest.OpLogin, delayed(time.Hour))
			result := tokenInBackground(cache.ServiceAccount())
			synctest.Wait()
			_ = cache.Close(t.Context())
			checkError(t, <-result, lookerauth.ErrClosed)
		},
		"a place in the queue that is given up": func(t *testing.T, looker *lookertest.Server,
			cache *lookerauth.Cache) {
			accessToken(t, cache.ServiceAccount())
			failing(looker, lookertest.OpLoginUser, delayed(time.Second))
			result := tokenInBackground(cache.User("789"))
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := cache.User("790").TokenContext(ctx)
			checkError(t, err, context.DeadlineExceeded)
			checkError(t, <-result, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker, maxConcurrentLogins(1))
				test(t, looker, cache)
				stats := cache.Stats()
				failures := []lookerauth.LoginFailures{
					stats.ServiceAccount.Failed, stats.ServiceAccount.RefreshFailed,
					stats.UserLogins.Failed, stats.UserLogins.RefreshFailed,
				}
				for _, failed := range failures {
					if failed != (lookerauth.LoginFailures{}) {
						t.Errorf("counted: %+v", stats)
					}
				}
			})
		})
	}
}

// What a hold-down and a pause refuse makes no call, and is no login that failed.
func TestFailedLoginsAreFewerThanTheCallersWhoGotAnError(t *testing.T) {
	for name, test := range map[string]struct {
		fault lookertest.Fault
		want  lookerauth.LoginFailures
	}{
		"a hold-down": {answered(403), refused},
		"a pause":     {rateLimited("3600"), limited},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker)
				accessToken(t, cache.ServiceAccount())
				failing(looker, lookertest.OpLoginUser, test.fault)
				for range 29 { // for half a minute nobody else asks Looker
					_, err := cache.User("789").Token()
					callError(t, err)
					time.Sleep(time.Second)
				}
				checkStats(t, cache, lookerauth.Stats{
					Logins:         1,
					ServiceAccount: lookerauth.LoginStats{Granted: 1},
					UserLogins:     lookerauth.LoginStats{Failed: test.want},
				})
			})
		})
	}
}

// On a busy day nothing fails, and callers wait: the queue says so, and the time of a login whether
// it is Looker that has become slower.
func TestStatsTellABusyMomentFromASlowLooker(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(2))
		accessToken(t, cache.ServiceAccount())
		for _, test := range []struct {
			users, queued int
			login         time.Duration
		}{
			{2, 0, time.Second},
			{10, 8, time.Second},    // busy
			{2, 0, 9 * time.Second}, // slow
		} {
			failing(looker, lookertest.OpLoginUser, delayed(test.login))
			before := cache.Stats()
			results := make([]<-chan error, test.users)
			for i := range results {
				results[i] = tokenInBackground(cache.User(nthUser(i)))
			}
			synctest.Wait()
			now := cache.Stats()
			if now.LoginsInFlight != 2 || now.LoginsQueued != test.queued {
				t.Errorf("%d users: %d in flight, %d queued, want 2 and %d",
					test.users, now.LoginsInFlight, now.LoginsQueued, test.queued)
			}
			for _, result := range results {
				checkError(t, <-result, nil)
			}
			after := cache.Stats()
			if n := after.Logins - before.Logins; n != uint64(test.users) {
				t.Errorf("%d logins, want %d", n, test.users)
			}
			if after.LoginsInFlight != 0 || after.LoginsQueued != 0 {
				t.Errorf("in flight or queued afterwards: %+v", after)
			}
			took := time.Duration(test.users) * test.login // without the time in the queue
			checkLoginTime(t, cache, before.LoginTime+took)
			for i := range results {
				logOut(t, cache.User(nthUser(i)))
			}
		}
	})
}

func TestLoginTimeIsFromTheTurnToTheEnd(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		steps := &steppedClock{}
		cache := newCache(t, looker, withClock(steps), afterLogin(func() error {
			time.Sleep(2 * time.Second)
			return nil
		}))
		looker.FailNext(lookertest.OpLogin, delayed(time.Second))
		accessToken(t, cache.ServiceAccount())
		checkLoginTime(t, cache, 3*time.Second)

		slow := answered(403)
		slow.Delay = 5 * time.Second
		looker.FailNext(lookertest.OpLoginUser, slow)
		failsWith(t, cache.User("789"), lookerauth.ErrForbidden)
		checkLoginTime(t, cache, 8*time.Second)

		looker.FailNext(lookertest.OpLoginUser, slow)
		result := tokenInBackground(cache.User("790"))
		synctest.Wait()
		steps.step(-48 * time.Hour) // nobody knows how long it took
		checkError(t, <-result, lookerauth.ErrForbidden)
		checkLoginTime(t, cache, 8*time.Second)
	})
}

// Looking into the Store is no login, however long that takes.
func TestTokenFromTheStoreIsNoLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		fleet := newFleet(t, looker, 2, withStore(newMemoryStore()))
		for _, cache := range fleet {
			accessToken(t, cache.ServiceAccount())
		}
		checkStats(t, fleet[1], lookerauth.Stats{StoreHits: 1})
		checkLoginTime(t, fleet[1], 0)
	})
}
