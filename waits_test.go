package lookerauth_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// waits are the figures of callers who had to wait.
type waits struct{ served, failed, left uint64 }

// checkWaits compares how many callers had to wait, by how that ended.
func checkWaits(t *testing.T, cache *lookerauth.Cache, want waits) {
	t.Helper()
	stats := cache.Stats()
	if got := (waits{stats.WaitsServed, stats.WaitsFailed, stats.WaitsLeft}); got != want {
		t.Errorf("callers who waited: %+v, want %+v", got, want)
	}
}

func TestCallersWhoWaitAreCountedByHowThatEnds(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		looker.FailNext(lookertest.OpLogin, delayed(time.Second))
		together(30, func(i int) { accessToken(t, cache.User(nthUser(i%3))) })
		checkWaits(t, cache, waits{served: 30}) // no user's login that waits is a caller

		together(30, func(i int) { accessToken(t, cache.User(nthUser(i%3))) })
		time.Sleep(59 * time.Minute)
		accessToken(t, cache.User(nthUser(0))) // it ages
		synctest.Wait()
		checkWaits(t, cache, waits{served: 30})

		looker.SetAdmin(false)
		for range 10 {
			failsWith(t, cache.User("789"), lookerauth.ErrForbidden) // from a hold-down, too
		}
		checkWaits(t, cache, waits{served: 30, failed: 10})

		looker.SetAdmin(true)
		looker.FailNext(lookertest.OpLoginUser, delayed(5*time.Second))
		together(10, func(int) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := cache.User("790").TokenContext(ctx)
			checkError(t, err, context.DeadlineExceeded)
		})
		checkWaits(t, cache, waits{served: 30, failed: 10, left: 10})
	})
}

func TestWhoseErrorIsNoLoginsIsNotCounted(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		failsWith(t, cache.User("not/valid"), lookerauth.ErrInvalidIdentity)
		failsWith(t, cache.As(lookerauth.Identity{}), lookerauth.ErrNoIdentity)
		failing(looker, lookertest.OpLogin, delayed(time.Hour))
		waiting := tokenInBackground(cache.User("789"))
		synctest.Wait()
		_ = cache.Close(t.Context())
		checkError(t, <-waiting, lookerauth.ErrClosed)
		failsWith(t, cache.User("789"), lookerauth.ErrClosed)
		checkWaits(t, cache, waits{})
	})
}

// What on-call staff see is what callers got.
func TestFiguresOfHarmAreWhatCallersGet(t *testing.T) {
	for name, happens := range map[string]func(*lookertest.Server){
		"the admin right is lost": func(l *lookertest.Server) { l.SetAdmin(false) },
		"Looker is away":          func(l *lookertest.Server) { l.FailFunc(away) },
		"the key is wrong": func(l *lookertest.Server) {
			failing(l, lookertest.OpLogin, answered(404))
		},
		"Looker is slow": func(l *lookertest.Server) {
			failing(l, lookertest.OpLoginUser, delayed(9*time.Second))
		},
		"Looker asks for a pause": func(l *lookertest.Server) {
			failing(l, lookertest.OpLoginUser, rateLimited("600"))
		},
		"a user is deleted": func(l *lookertest.Server) { setUsers(l, nthUser(1), nthUser(2)) },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				const users = 200
				cache := newCache(t, looker)
				useUsers(t, cache, users/2) // others come later
				looker.RevokeAll()
				before := cache.Stats()
				happens(looker)
				var failed, left atomic.Uint64
				client := &http.Client{Transport: cache.Transport(nil)}
				for range 30 {
					together(users, func(i int) {
						ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
						defer cancel()
						ctx = lookerauth.WithUser(ctx, nthUser(i))
						req, _ := http.NewRequestWithContext(
							ctx, http.MethodGet, looker.URL+looks, nil)
						resp, err := client.Do(req)
						if err == nil {
							resp.Body.Close()
						}
						switch {
						case err == nil && resp.StatusCode == http.StatusOK:
						case ctx.Err() != nil: // and maybe the 401 that came before
							left.Add(1)
						default:
							failed.Add(1)
						}
					})
					time.Sleep(10 * time.Second)
				}
				after := cache.Stats()
				if got := after.WaitsFailed - before.WaitsFailed; got != failed.Load() {
					t.Errorf("the figure is %d, %d failed", got, failed.Load())
				}
				if got := after.WaitsLeft - before.WaitsLeft; got != left.Load() {
					t.Errorf("the figure is %d, %d left", got, left.Load())
				}
				if failed.Load()+left.Load() == 0 {
					t.Error("nobody was harmed")
				}
			})
		})
	}
}

// away is a Looker in which nobody can log in.
func away(call lookertest.Request) lookertest.Fault {
	return lookertest.Fault{Drop: call.Op != lookertest.OpAPI}
}

func TestEvictionOfATokenThatCouldBeUsedIsCountedApart(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(2))
		useUsers(t, cache, 2)
		invalidate(t, cache.User(nthUser(0)))
		accessToken(t, cache.User("1001")) // evicts the second, which could be used
		accessToken(t, cache.User("1002")) // evicts the first
		time.Sleep(time.Hour)
		accessToken(t, cache.User("1003")) // evicts one that has expired
		stats := cache.Stats()
		if stats.Evictions != 3 || stats.LiveEvictions != 1 {
			t.Errorf("%d evictions, %d of them live, want 3 and 1",
				stats.Evictions, stats.LiveEvictions)
		}
		if stats.Users != 2 || stats.MaxUsers != 2 {
			t.Errorf("%d users of %d, want 2 of 2", stats.Users, stats.MaxUsers)
		}
	})
}

func TestLogoutThatFailsIsCounted(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		for i := range 3 {
			user := cache.User(fmt.Sprint(789 + i))
			accessToken(t, user)
			if i > 0 {
				looker.FailNext(lookertest.OpLogout, answered(403))
			}
			_ = user.Logout(t.Context())
		}
		if got := cache.Stats(); got.Logouts != 1 || got.FailedLogouts != 2 {
			t.Errorf("%d logouts, %d failed, want 1 and 2", got.Logouts, got.FailedLogouts)
		}
	})
}
