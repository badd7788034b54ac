package lookerauth_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// events are what can be logged: each with the level and the attributes it has, and how it comes
// about.
var events = []struct {
	level   slog.Level
	message string
	attrs   map[string]string // "error" may have more around it
	happens func(t *testing.T, looker *lookertest.Server, log option)
}{
	{slog.LevelDebug, "logged in", map[string]string{"identity": "user:789", "life": "1h0m0s"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			accessToken(t, newCache(t, looker, log).User("789"))
		}},
	{slog.LevelDebug, "token refreshed",
		map[string]string{"identity": "user:789", "life": "1h0m0s"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			user := newCache(t, looker, log).User("789")
			accessToken(t, user)
			time.Sleep(59 * time.Minute)
			accessToken(t, user)
		}},
	{slog.LevelDebug, "token taken from the store", map[string]string{"identity": "user:789"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			for _, cache := range newFleet(t, looker, 2, withStore(newMemoryStore()), log) {
				accessToken(t, cache.User("789"))
			}
		}},
	{slog.LevelError, "login failed",
		map[string]string{
			"identity": "service_account", "op": "login", "status": "404", "reason": "refused",
			"error": "the API key was refused", "hold_down": "30s", "count": "1",
		},
		func(t *testing.T, looker *lookertest.Server, log option) {
			wrong := newCache(t, looker, withKey(testID, testSecret), log)
			failsWith(t, wrong.User("789"), lookerauth.ErrBadAPIKey)
		}},
	{slog.LevelWarn, "login failed",
		map[string]string{
			"identity": "user:789", "op": "login_user", "status": "403", "reason": "refused",
			"error": "Forbidden", "hold_down": "30s", "count": "1",
		},
		func(t *testing.T, looker *lookertest.Server, log option) {
			looker.SetAdmin(false)
			failsWith(t, newCache(t, looker, log).User("789"), lookerauth.ErrForbidden)
		}},
	{slog.LevelDebug, "login failed",
		map[string]string{
			"identity": "user:790", "op": "login_user", "status": "403", "reason": "refused",
			"error": "Forbidden", "hold_down": "30s",
		},
		func(t *testing.T, looker *lookertest.Server, log option) {
			looker.SetAdmin(false)
			cache := newCache(t, looker, log)
			for _, userID := range []string{"788", "789", "790"} {
				failsWith(t, cache.User(userID), lookerauth.ErrForbidden)
			}
		}},
	{slog.LevelInfo, "logins work again",
		map[string]string{
			"op": "login_user", "reason": "refused", "lasted": "30s", "count": "1",
		},
		func(t *testing.T, looker *lookertest.Server, log option) {
			looker.SetAdmin(false)
			cache := newCache(t, looker, log)
			failsWith(t, cache.User("788"), lookerauth.ErrForbidden)
			failsWith(t, cache.User("789"), lookerauth.ErrForbidden)
			time.Sleep(30 * time.Second)
			failsWith(t, cache.User("790"), lookerauth.ErrForbidden)
			looker.SetAdmin(true)
			time.Sleep(time.Minute)
			accessToken(t, cache.User("790"))
		}},
	{slog.LevelWarn, "logins paused", map[string]string{"pause": "2s", "count": "1"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			looker.FailNext(lookertest.OpLoginUser, rateLimited("2"))
			accessToken(t, newCache(t, looker, log).User("789"))
		}},
	{slog.LevelInfo, "token rejected",
		map[string]string{"identity": "user:789", "by": "invalidate", "count": "1"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			invalidate(t, newCache(t, looker, log).User("789"))
		}},
	{slog.LevelInfo, "token rejected",
		map[string]string{"identity": "service_account", "by": "login", "count": "1"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			cache := newCache(t, looker, log)
			accessToken(t, cache.ServiceAccount())
			looker.Revoke(lookertest.ServiceAccountID)
			accessToken(t, cache.User("789"))
		}},
	{slog.LevelDebug, "token rejected",
		map[string]string{"identity": "user:790", "by": "request"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			cache := newCache(t, looker, log)
			for _, userID := range []string{"789", "790"} {
				accessToken(t, cache.User(userID))
				looker.Revoke(userID)
				answersAs(t, cache.User(userID).Client(), looker, userID)
			}
		}},
	{slog.LevelDebug, "request replayed", map[string]string{"identity": "user:789"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			user := newCache(t, looker, log).User("789")
			accessToken(t, user)
			looker.Revoke("789")
			answersAs(t, user.Client(), looker, "789")
		}},
	{slog.LevelDebug, "user evicted",
		map[string]string{"identity": "user:" + nthUser(0), "count": "1"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			useUsers(t, newCache(t, looker, maxUsers(1), log), 2)
		}},
	{slog.LevelDebug, "user evicted", map[string]string{"identity": "user:" + nthUser(1)},
		func(t *testing.T, looker *lookertest.Server, log option) {
			useUsers(t, newCache(t, looker, maxUsers(1), log), 3)
		}},
	{slog.LevelDebug, "token discarded", map[string]string{"identity": "service_account"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			no := errors.New("no")
			refuse := afterLogin(func() error { return no })
			failsWith(t, newCache(t, looker, refuse, log).ServiceAccount(), no)
		}},
	{slog.LevelDebug, "logged out", map[string]string{"identity": "user:789"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			user := newCache(t, looker, log).User("789")
			accessToken(t, user)
			logOut(t, user)
		}},
	{slog.LevelWarn, "logout failed",
		map[string]string{
			"identity": "user:789", "op": "logout", "status": "403", "reason": "refused",
			"error": "Forbidden", "count": "1",
		},
		func(t *testing.T, looker *lookertest.Server, log option) {
			user := newCache(t, looker, log).User("789")
			accessToken(t, user)
			looker.FailNext(lookertest.OpLogout, answered(http.StatusForbidden))
			callError(t, user.Logout(t.Context()))
		}},
	{slog.LevelDebug, "logout failed",
		map[string]string{
			"identity": "user:790", "op": "logout", "status": "403", "reason": "refused",
			"error": "Forbidden",
		},
		func(t *testing.T, looker *lookertest.Server, log option) {
			cache := newCache(t, looker, log)
			failing(looker, lookertest.OpLogout, answered(http.StatusForbidden))
			for _, userID := range []string{"789", "790"} {
				accessToken(t, cache.User(userID))
				callError(t, cache.User(userID).Logout(t.Context()))
			}
		}},
	{slog.LevelWarn, "store failed",
		map[string]string{
			"op": "swap", "limit": "750ms", "error": "connection refused", "left_alone": "5s",
		},
		func(t *testing.T, looker *lookertest.Server, log option) {
			store := newMemoryStore()
			store.fail(errRefused)
			accessToken(t, newCache(t, looker, withStore(store), log).User("789"))
		}},
	{slog.LevelInfo, "store works again", nil,
		func(t *testing.T, looker *lookertest.Server, log option) {
			store := newMemoryStore()
			cache := newCache(t, looker, withStore(store), log)
			store.fail(errRefused)
			accessToken(t, cache.User("1"))
			store.works()
			time.Sleep(time.Minute)
			accessToken(t, cache.User("2"))
		}},
	{slog.LevelWarn, "stored value does not open",
		map[string]string{"error": "StoreKeys", "count": "1"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			store := newMemoryStore()
			accessToken(t, newCache(t, looker, withStore(store)).User("789"))
			store.garble()
			accessToken(t, newCache(t, looker, withStore(store), log).User("789"))
		}},
	{slog.LevelWarn, "stored token is from the future",
		map[string]string{"ahead": "2h0m0s", "count": "1"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			store, ahead := withStore(newMemoryStore()), &steppedClock{}
			ahead.step(2 * time.Hour)
			accessToken(t, newCache(t, looker, store, withClock(ahead)).ServiceAccount())
			accessToken(t, newCache(t, looker, store, log).ServiceAccount())
		}},
	{slog.LevelInfo, "closed", map[string]string{"users": "2", "failed": "0"},
		func(t *testing.T, looker *lookertest.Server, log option) {
			cache := newCache(t, looker, log)
			useUsers(t, cache, 2)
			closeCache(t, cache)
		}},
}

// Each event is logged as documented, and nothing is logged that is not.
func TestEveryEventIsDocumented(t *testing.T) {
	documented := documentedEvents(t)
	logged := make(map[string]bool)
	for _, test := range events {
		t.Run(test.message, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				var log eventLog
				test.happens(t, looker, withLog(&log))
				synctest.Wait()
				happened := false
				for _, e := range log.all() {
					logged[documentation(t, e)] = true
					if e.message == "lookerauth: "+test.message && e.level == test.level {
						happened = happened || hasAttrs(e, test.attrs)
					}
				}
				if !happened {
					t.Errorf("no such event with %v in:\n%v", test.attrs, &log)
				}
			})
		})
	}
	if !maps.Equal(documented, logged) {
		t.Errorf("doc.go has\n\t%s\nlogged was\n\t%s",
			strings.Join(slices.Sorted(maps.Keys(documented)), "\n\t"),
			strings.Join(slices.Sorted(maps.Keys(logged)), "\n\t"))
	}
}

// documentedEvents are the events in doc.go: level, message and attributes.
func documentedEvents(t *testing.T) map[string]bool {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^//\t((DEBUG|INFO|WARN|ERROR).*)$`)
	gap := regexp.MustCompile(` {2,}`)
	documented := make(map[string]bool)
	for _, line := range lines.FindAllStringSubmatch(string(doc), -1) {
		columns := gap.Split(line[1], 4) // level, message, attributes, remark
		documented[strings.Join(columns[:min(3, len(columns))], ": ")] = true
	}
	return documented
}

// documentation is what doc.go should have for an event.
func documentation(t *testing.T, e event) string {
	t.Helper()
	message, ok := strings.CutPrefix(e.message, "lookerauth: ")
	if !ok {
		t.Errorf("the message does not tell whose it is: %s", e)
	}
	text := e.level.String() + ": " + message
	for i, attr := range e.attrs {
		text += [2]string{": ", ", "}[min(i, 1)] + attr.Key
	}
	return text
}

// hasAttrs reports whether an event has these attributes, and no others.
func hasAttrs(e event, want map[string]string) bool {
	if len(e.attrs) != len(want) {
		return false
	}
	for _, attr := range e.attrs {
		got, wanted := attr.Value.String(), want[attr.Key]
		if got != wanted && !(attr.Key == "error" && strings.Contains(got, wanted)) {
			return false
		}
	}
	return true
}

func TestInfoIsQuietOnAGoodDay(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, maxUsers(2), withLog(&log))
		for range 10 {
			useUsers(t, cache, 3)
			time.Sleep(30 * time.Minute)
		}
		for _, e := range log.all() {
			if e.level >= slog.LevelInfo {
				t.Errorf("logged: %v", e)
			}
		}
	})
}

func TestEventsTellWhatHappened(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		looker.SetTokenLife(20 * time.Minute)
		accessToken(t, cache.User("1"))
		accessToken(t, cache.User("2"))
		failNext(looker, 2, lookertest.OpLoginUser, answered(http.StatusTeapot))
		_, _ = cache.User("3").Token()
		time.Sleep(time.Second)
		_, _ = cache.User("3").Token()
		looker.FailNext(lookertest.OpLogout, answered(http.StatusForbidden))
		_ = cache.Close(t.Context())

		log.check(t, "DEBUG lookerauth: logged in identity=service_account life=20m0s\n", 1)
		log.check(t, "DEBUG lookerauth: logged in identity=user:1 life=20m0s\n", 1)
		log.check(t, "DEBUG lookerauth: logged in identity=user:2 life=20m0s\n", 1)
		log.check(t, "WARN lookerauth: login failed identity=user:3 op=login_user ", 2)
		log.check(t, "DEBUG lookerauth: login failed identity=user:3 op=login_user ", 1)
		log.check(t, " hold_down=1s count=1\n", 1)
		log.check(t, " hold_down=2s\n", 1)
		log.check(t, " hold_down=2s count=1\n", 1)
		log.check(t, "DEBUG lookerauth: logged out identity=", 2) // of whom, is Looker's choice
		log.check(t, "WARN lookerauth: logout failed identity=", 1)
		log.check(t, "INFO lookerauth: closed users=2 failed=1\n", 1)
		if n := len(log.all()); n != 10 {
			t.Errorf("%d events, want 10:\n%v", n, &log)
		}
	})
}

// The events of a login belong to the request that waits for it, and those of a refresh to none.
func TestEventsOfALoginHaveTheContextOfItsRequest(t *testing.T) {
	type key struct{}
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var mu sync.Mutex
		var values []any // guarded by mu
		user := newCache(t, looker, withLog(handlerFunc(func(ctx context.Context, _ slog.Record) {
			mu.Lock()
			defer mu.Unlock()
			values = append(values, ctx.Value(key{}))
		}))).User("789")
		for _, value := range []string{"first", "second"} {
			_, err := user.TokenContext(context.WithValue(t.Context(), key{}, value))
			checkError(t, err, nil)
			synctest.Wait()
			time.Sleep(59 * time.Minute)
		}
		want := []any{"first", "first", nil, nil} // of the service account, and of the user
		if !slices.Equal(values, want) {
			t.Errorf("the events have %v, want %v", values, want)
		}
	})
}

// A function of one Cache's Config may use another Cache, with the context that it has.
func TestEventsGoToTheirOwnLogger(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var inner, outer eventLog
		one := newCache(t, looker, withLog(&inner))
		asks := withAfterLogin(func(ctx context.Context, _ lookerauth.Login) error {
			_, err := one.ServiceAccount().TokenContext(ctx)
			return err
		})
		accessToken(t, newCache(t, looker, withLog(&outer), asks).ServiceAccount())
		synctest.Wait()
		inner.check(t, "logged in", 1)
		outer.check(t, "logged in", 1)
	})
}

func TestEventsSayWhenTheyHappened(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		start := time.Now()
		looker.FailNext(lookertest.OpLoginUser, delayed(5*time.Second))
		accessToken(t, newCache(t, looker, withLog(&log)).User("789"))
		at := make(map[time.Duration]bool)
		for _, e := range log.all() {
			at[e.at.Sub(start)] = true
		}
		if !at[0] || !at[5*time.Second] || len(at) != 2 {
			t.Errorf("logged in after %v, want the service account at once, and 5 s", at)
		}
	})
}

func TestLinesThatHarmNobodyAreFiveMinutesApart(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log), func(cfg *lookerauth.Config) {
			cfg.RefreshBefore = 15 * time.Minute
		})
		accessToken(t, cache.ServiceAccount())
		failing(looker, lookertest.OpLogin, answered(403))
		for range 59 * 6 {
			_, _ = cache.ServiceAccount().Token()
			time.Sleep(10 * time.Second)
		}
		lines := log.lines("login failed")
		if len(lines) < 2 {
			t.Fatalf("%d lines, want at least 2", len(lines))
		}
		const holdDown = 40 * time.Second // and until somebody asks
		for i, e := range lines[1:] {
			d := e.at.Sub(lines[i].at)
			if d < 5*time.Minute || d > 5*time.Minute+holdDown {
				t.Errorf("another line after %v", d)
			}
		}
	})
}

// Callers are told of once. What fails afterwards is replaced before anybody has to wait.
func TestRefreshesThatFailAfterALineOfErrorHarmNobody(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		looker.SetTokenLife(40 * time.Second)
		failing(looker, lookertest.OpLogin, answered(503))
		if _, err := cache.ServiceAccount().Token(); err == nil {
			t.Fatal("a token")
		}
		var tries atomic.Int64
		looker.FailFunc(func(call lookertest.Request) (f lookertest.Fault) {
			if tries.Add(1)%2 == 0 {
				f.Status = http.StatusServiceUnavailable
			}
			return f
		})
		time.Sleep(5 * time.Second) // held down
		for range 240 {
			accessToken(t, cache.ServiceAccount())
			time.Sleep(time.Second)
		}
		if failed := failures(cache.Stats().ServiceAccount.RefreshFailed); failed < 4 {
			t.Errorf("%d refreshes failed", failed)
		}
		log.check(t, "ERROR lookerauth: login failed", 1)
	})
}
