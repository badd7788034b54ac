package lookerauth_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// plants are the ways to have a function of the user's do something before it does its own.
var plants = map[string]func(cfg *lookerauth.Config, before func()){
	"Transport": func(cfg *lookerauth.Config, before func()) {
		base := cfg.Transport
		cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			before()
			return base.RoundTrip(req)
		})
	},
	"APIKey": func(cfg *lookerauth.Config, before func()) {
		clientID, clientSecret := cfg.ClientID, cfg.ClientSecret
		withAPIKey(func() (string, string, error) {
			before()
			return clientID, clientSecret, nil
		})(cfg)
	},
	"AfterLogin": func(cfg *lookerauth.Config, before func()) {
		afterLogin(func() error {
			before()
			return nil
		})(cfg)
	},
}

func TestBrokenCodeOfTheUserIsAnErrorForEveryWaiter(t *testing.T) {
	const secret = "hunter2"
	for how, breakDown := range map[string]func(){
		"panic":         func() { panic(secret) },
		"runtime error": func() { _ = []int{}[len(secret)] },
		"nil panic":     func() { panic(nil) },
		"Goexit":        exit,
	} {
		for where, plant := range plants {
			t.Run(where+" "+how, func(t *testing.T) {
				simulate(t, func(t *testing.T, looker *lookertest.Server) {
					var once sync.Once
					service := newCache(t, looker, func(cfg *lookerauth.Config) {
						plant(cfg, func() {
							time.Sleep(time.Second) // lets the others join
							once.Do(breakDown)
						})
					}).ServiceAccount()
					together(10, func(int) {
						_, err := service.Token()
						if strings.Contains(callError(t, err).Error(), secret) {
							t.Errorf("got %v", err)
						}
					})
					time.Sleep(time.Second) // the hold-down
					accessToken(t, service)
				})
			})
		}
	}
}

// hasty is an error that takes each one that it is compared with for its own kind.
type hasty struct{ code int }

func (h *hasty) Error() string        { return "hasty" }
func (h *hasty) Is(target error) bool { return target.(*hasty).code == h.code }

// Whoever looks into it, in whichever goroutine, would panic.
func TestErrorThatCannotBeComparedIsAnErrorForEveryWaiter(t *testing.T) {
	for name, broken := range map[string]option{
		"APIKey": withAPIKey(func() (string, string, error) { return "", "", &hasty{} }),
		"Transport": withTransport(roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, &hasty{}
		})),
		"AfterLogin": afterLogin(func() error { return &hasty{} }),
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				user := newCache(t, looker, broken).User("789")
				together(10, func(int) {
					_, err := user.Token()
					checkErrorSays(t, err, "panicked", "hasty")
				})
			})
		})
	}
}

func TestPanicIsReportedWithItsPlace(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		broken := withAPIKey(func() (string, string, error) { panic("oh") })
		_, err := newCache(t, looker, broken).ServiceAccount().Token()
		checkErrorSays(t, err, "panicked with a string in "+
			"github.com/lookerauth/lookerauth_test.TestPanicIsReportedWithItsPlace")
	})
}

func TestLoggerThatPanicsBreaksNothing(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		broken := handlerFunc(func(context.Context, slog.Record) { panic("oh") })
		cache := newCache(t, looker, withLog(broken))
		accessToken(t, cache.User("789"))
		closeCache(t, cache)
	})
}

// It is called in the goroutine that it then ends, once everybody else has what they waited for.
func TestLoggerThatCallsGoexitEndsOneGoroutine(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var once sync.Once
		broken := handlerFunc(func(context.Context, slog.Record) { once.Do(exit) })
		cache := newCache(t, looker, withLog(broken))
		looker.FailNext(lookertest.OpLoginUser, lookertest.Fault{Delay: time.Second})
		var served atomic.Int64
		for range 10 {
			go func() {
				if _, err := cache.User("789").Token(); err == nil {
					served.Add(1)
				}
			}()
		}
		time.Sleep(time.Minute)
		if n := served.Load(); n != 9 {
			t.Errorf("%d of 10 callers have the token, want all but the one that ended", n)
		}
		accessToken(t, cache.User("790"))
		closeCache(t, cache)
	})
}

func TestLoggerMayAskForTheTokenThatItLearnsOf(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var cache *lookerauth.Cache
		var asked atomic.Int64
		asking := handlerFunc(func(context.Context, slog.Record) {
			if asked.Add(1) < 10 {
				_, _ = cache.ServiceAccount().Token()
				_, _ = cache.User("789").Token()
			}
		})
		store := newMemoryStore()
		cache = newCache(t, looker, withLog(asking), withStore(store))
		store.fail(errRefused)
		accessToken(t, cache.User("789"))
		if asked.Load() == 0 {
			t.Error("the Logger was not called")
		}
	})
}
