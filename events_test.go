package lookerauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

var (
	documentedEvent = regexp.MustCompile(`(?m)^//\t((DEBUG|INFO|WARN).*)$`)
	column          = regexp.MustCompile(` {2,}`)
)

func TestEveryEventIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, line := range documentedEvent.FindAllStringSubmatch(string(doc), -1) {
		columns := column.Split(line[1], 4) // level, message, attributes, remark
		documented[strings.Join(columns[:min(3, len(columns))], ": ")] = true
	}
	logged := make(map[string]bool)
	for line := range strings.Lines(logOfABadDay(t)) {
		logged[shapeOf(t, line)] = true
	}
	if !maps.Equal(documented, logged) {
		t.Errorf("doc.go has\n\t%s\nlogged was\n\t%s", strings.Join(slices.Sorted(maps.Keys(documented)), "\n\t"),
			strings.Join(slices.Sorted(maps.Keys(logged)), "\n\t"))
	}
}

// shapeOf is the line of the documentation that an event should have.
func shapeOf(t *testing.T, line string) string {
	t.Helper()
	var event map[string]any
	if err := json.Unmarshal([]byte(line), &event); err != nil {
		t.Fatal(err)
	}
	message, ok := strings.CutPrefix(event["msg"].(string), "lookerauth: ")
	if !ok {
		t.Errorf("the message does not tell whose it is: %s", line)
	}
	var attributes []string
	for _, name := range []string{"user_id", "life", "error", "hold_down", "users", "failed"} {
		if _, ok := event[name]; ok {
			attributes = append(attributes, name)
		}
	}
	if len(event) != len(attributes)+3 { // time, level, msg
		t.Errorf("an attribute that is not documented: %s", line)
	}
	return strings.TrimSuffix(strings.Join([]string{event["level"].(string), message, strings.Join(attributes, ", ")}, ": "), ": ")
}

// logOfABadDay makes every event happen, and returns what was logged, as lines of JSON.
func logOfABadDay(t *testing.T) string {
	var log bytes.Buffer
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})) // one: its lock guards log
		withLog := func(cfg *lookerauth.Config) { cfg.Logger = logger }
		alone := newCache(t, looker, maxUsers(1), withLog)
		one, other := newCache(t, looker, withStore(store), withLog), newCache(t, looker, withStore(store), withLog)

		accessToken(t, alone.User("1"))
		accessToken(t, alone.User("2"))
		time.Sleep(59 * time.Minute)
		accessToken(t, alone.User("2")) // is refreshed
		synctest.Wait()
		looker.RevokeAll()
		answersAs(t, alone.User("2").Client(), looker, "2")
		looker.Fail(lookertest.LoginUser, 1, answered(http.StatusForbidden))
		_, _ = alone.User("3").Token()
		looker.Fail(lookertest.Logout, 1, answered(http.StatusForbidden))
		_ = alone.User("2").Logout(t.Context())

		accessToken(t, one.User("1"))
		accessToken(t, other.User("1")) // from the store
		store.garble()
		accessToken(t, newCache(t, looker, withStore(store), withLog).User("1")) // what is stored does not open
		store.fail(errRefused)
		accessToken(t, one.User("2"))
		store.works()
		time.Sleep(time.Minute)
		accessToken(t, one.User("3"))
		looker.Fail(lookertest.LoginUser, 1, lookertest.Fault{Delay: time.Second})
		tokenInBackground(alone.User("4"))
		synctest.Wait()
		_ = alone.User("4").Logout(t.Context()) // discards it
		time.Sleep(time.Minute)
		_ = alone.Close(t.Context())
		synctest.Wait()
	})
	return log.String()
}

func TestInfoIsQuietOnAGoodDay(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log bytes.Buffer
		cache := newCache(t, looker, maxUsers(2), func(cfg *lookerauth.Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		for range 10 {
			for _, userID := range []string{"1", "2", "3"} {
				accessToken(t, cache.User(userID))
			}
			time.Sleep(30 * time.Minute)
		}
		if log.Len() != 0 {
			t.Errorf("logged:\n%s", log.String())
		}
	})
}

func TestEventsTellWhatHappened(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log bytes.Buffer
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
				Level: slog.LevelDebug,
				ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
					if attr.Key == slog.TimeKey || attr.Key == "error" {
						return slog.Attr{}
					}
					return attr
				},
			}))
		})
		looker.SetTokenLife(20 * time.Minute)
		accessToken(t, cache.User("1"))
		accessToken(t, cache.User("2"))
		looker.Fail(lookertest.LoginUser, 2, answered(http.StatusTeapot))
		_, _ = cache.User("3").Token()
		time.Sleep(time.Second)
		_, _ = cache.User("3").Token()
		looker.Fail(lookertest.Logout, 1, answered(http.StatusForbidden))
		_ = cache.Close(t.Context())

		want := map[string]int{ // how often
			`level=DEBUG msg="lookerauth: logged in" user_id="" life=20m0s`:    1,
			`level=DEBUG msg="lookerauth: logged in" user_id=1 life=20m0s`:     1,
			`level=DEBUG msg="lookerauth: logged in" user_id=2 life=20m0s`:     1,
			`level=WARN msg="lookerauth: login failed" user_id=3 hold_down=1s`: 1,
			`level=WARN msg="lookerauth: login failed" user_id=3 hold_down=2s`: 1,
			`level=INFO msg="lookerauth: closed" users=2 failed=1`:             1,
		}
		logged := make(map[string]int)
		for line := range strings.Lines(log.String()) {
			if !strings.Contains(line, ": logged out") && !strings.Contains(line, ": logout failed") { // of whom, is Looker's choice
				logged[strings.TrimSpace(line)]++
			}
		}
		if !maps.Equal(logged, want) {
			t.Errorf("logged:\n%s", log.String())
		}
	})
}

// The events of a login belong to the request that waits for it, and those of a refresh to none.
func TestEventsOfALoginHaveTheContextOfItsRequest(t *testing.T) {
	type key struct{}
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var mu sync.Mutex
		var values []any // guarded by mu
		user := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.Logger = slog.New(contextHandler(func(ctx context.Context) {
				mu.Lock()
				defer mu.Unlock()
				values = append(values, ctx.Value(key{}))
			}))
		}).User("789")
		for _, value := range []string{"first", "second"} {
			if _, err := user.TokenContext(context.WithValue(t.Context(), key{}, value)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			time.Sleep(59 * time.Minute)
		}
		want := []any{"first", "first", nil, nil} // of the service account, and of the user
		if !slices.Equal(values, want) {
			t.Errorf("the events have %v, want %v", values, want)
		}
	})
}

// contextHandler is a log handler that looks at the context only.
type contextHandler func(context.Context)

func (h contextHandler) Enabled(context.Context, slog.Level) bool        { return true }
func (h contextHandler) Handle(ctx context.Context, _ slog.Record) error { h(ctx); return nil }
func (h contextHandler) WithAttrs([]slog.Attr) slog.Handler              { return h }
func (h contextHandler) WithGroup(string) slog.Handler                   { return h }
