package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func exit() { runtime.Goexit() }

func TestBrokenCodeOfTheUserIsAnErrorForEveryWaiter(t *testing.T) {
	const secret = "hunter2"
	for how, breakDown := range map[string]func(){
		"panic":         func() { panic(secret) },
		"runtime error": func() { _ = []int{}[len(secret)] },
		"nil panic":     func() { panic(nil) },
		"Goexit":        exit,
	} {
		for where, plant := range map[string]func(cfg *lookerauth.Config, breakOnce func()){
			"Transport": func(cfg *lookerauth.Config, breakOnce func()) {
				base := cfg.Transport
				cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
					breakOnce()
					return base.RoundTrip(req)
				})
			},
			"Credentials": func(cfg *lookerauth.Config, breakOnce func()) {
				clientID, clientSecret := cfg.ClientID, cfg.ClientSecret
				cfg.Credentials = func(context.Context) (string, string, error) {
					breakOnce()
					return clientID, clientSecret, nil
				}
			},
			"AfterLogin": func(cfg *lookerauth.Config, breakOnce func()) {
				cfg.AfterLogin = func(context.Context, string, *http.Client) error {
					breakOnce()
					return nil
				}
			},
		} {
			t.Run(where+" "+how, func(t *testing.T) {
				simulate(t, func(t *testing.T, looker *lookertest.Server) {
					var once sync.Once
					service := newCache(t, looker, func(cfg *lookerauth.Config) {
						plant(cfg, func() {
							time.Sleep(time.Second) // lets the others join
							once.Do(breakDown)
						})
					}).ServiceAccount()
					var wg sync.WaitGroup
					for range 10 {
						wg.Go(func() {
							_, err := service.Token()
							var failed *lookerauth.LoginError
							if !errors.As(err, &failed) || strings.Contains(err.Error(), secret) {
								t.Errorf("got %v", err)
							}
						})
					}
					wg.Wait()
					time.Sleep(time.Second) // the hold-down
					if _, err := service.Token(); err != nil {
						t.Errorf("the next login: %v", err)
					}
				})
			})
		}
	}
}

func TestPanicIsReportedWithItsPlace(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		service := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.Credentials = func(context.Context) (string, string, error) { panic("oh") }
		}).ServiceAccount()
		if _, err := service.Token(); err == nil || !strings.Contains(err.Error(), "panicked with a string in github.com/lookerauth/lookerauth_test.TestPanicIsReportedWithItsPlace") {
			t.Errorf("got %v", err)
		}
	})
}

func TestBrokenLoggerBreaksNothing(t *testing.T) {
	for how, breakDown := range map[string]func(){"panic": func() { panic("oh") }, "Goexit": exit} {
		t.Run(how, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Logger = slog.New(brokenHandler(breakDown)) })
				accessToken(t, cache.User("789"))
				if err := cache.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// brokenHandler is a log handler that does not survive an event.
type brokenHandler func()

func (h brokenHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (h brokenHandler) Handle(context.Context, slog.Record) error { h(); return nil }
func (h brokenHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h brokenHandler) WithGroup(string) slog.Handler             { return h }

func TestConcurrentCallersShareAFailure(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		looker.Fail(lookertest.Login, -1, lookertest.Fault{Status: 503})
		before := time.Now()
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				var failed *lookerauth.LoginError
				if _, err := cache.ServiceAccount().Token(); !errors.As(err, &failed) || failed.StatusCode != 503 {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if waited := time.Since(before); waited > 3*time.Second {
			t.Errorf("callers waited %v", waited)
		}
		time.Sleep(900 * time.Millisecond)
		if _, err := cache.ServiceAccount().Token(); err == nil {
			t.Error("no error within the hold-down")
		}
		checkCalls(t, looker, 3, 0)
		if shared := cache.Stats().SharedLogins; shared != 199 {
			t.Errorf("Stats has %d callers that shared a login, want 199", shared)
		}
	})
}

func TestHoldDownDoublesUpToHalfAMinute(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		service := newCache(t, looker).ServiceAccount()
		looker.Fail(lookertest.Login, -1, lookertest.Fault{Status: 500})
		for _, holdDown := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			_, first := service.Token()
			calls := looker.Calls(lookertest.Login)
			time.Sleep(holdDown*time.Second - time.Millisecond)
			if _, err := service.Token(); err != first || looker.Calls(lookertest.Login) != calls {
				t.Errorf("another call before %d s, or another error: %v", holdDown, err)
			}
			time.Sleep(time.Millisecond)
		}
		looker.Fail(lookertest.Login, 0, lookertest.Fault{})
		accessToken(t, service)

		// A success starts it all over.
		looker.Fail(lookertest.Login, 3, lookertest.Fault{Status: 500})
		time.Sleep(time.Hour)
		if _, err := service.Token(); err == nil {
			t.Error("no error")
		}
		time.Sleep(time.Second)
		accessToken(t, service)
	})
}

func TestFailureThatWillNotPassHoldsDownForHalfAMinute(t *testing.T) {
	for _, fault := range []lookertest.Fault{{Status: 400}, {Status: 403}, {Status: 404}, {Body: "<html>"}} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			service := newCache(t, looker).ServiceAccount()
			looker.Fail(lookertest.Login, 1, fault)
			_, first := service.Token()
			time.Sleep(30*time.Second - time.Millisecond)
			if _, err := service.Token(); first == nil || err != first {
				t.Errorf("%+v: got %v, want the same error", fault, err)
			}
			time.Sleep(time.Millisecond)
			accessToken(t, service)
		})
	}
}

func TestOldestFailureIsForgottenBeyondTenThousand(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var calls atomic.Int64
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
				if req.Method == http.MethodPost && strings.Contains(req.URL.Path, "/login/") {
					calls.Add(1)
					return respond(http.StatusNotFound, nil, `{"message":"Not found"}`), nil
				}
				return looker.Transport().RoundTrip(req)
			})
		})
		ask := func(userID string) int64 {
			before := calls.Load()
			if _, err := cache.User(userID).Token(); !errors.Is(err, lookerauth.ErrUserNotFound) {
				t.Errorf("got %v", err)
			}
			return calls.Load() - before
		}
		ask("first")
		for i := range 9_999 {
			ask(fmt.Sprint(i))
		}
		if n := ask("first"); n != 0 {
			t.Errorf("%d calls for the oldest of 10,000 failures, want it held down", n)
		}
		ask("one more")
		if n := ask("first"); n != 1 {
			t.Errorf("%d calls for the oldest of 10,001 failures, want it forgotten", n)
		}
	})
}

func TestServiceAccountsFailureHoldsNoUserDown(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		looker.Fail(lookertest.Login, 3, lookertest.Fault{Status: 503})
		if _, err := cache.ServiceAccount().Token(); err == nil {
			t.Error("no error")
		}
		time.Sleep(900 * time.Millisecond)
		if _, err := cache.User("789").Token(); err == nil {
			t.Error("no error while the service account is held down")
		}
		if n := cache.Stats().FailedLogins; n != 1 {
			t.Errorf("%d failed logins, want the service account's alone", n)
		}
		time.Sleep(100 * time.Millisecond)
		accessToken(t, cache.User("789"))
	})
}

func TestAgingTokenOutlivesAnOutage(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		service := newCache(t, looker).ServiceAccount()
		first := accessToken(t, service)
		time.Sleep(54*time.Minute + 50*time.Second) // the refresh window opens
		looker.Fail(lookertest.Login, -1, lookertest.Fault{Delay: time.Second, Status: 503})
		for second := range 4 * 60 {
			before := time.Now()
			if accessToken(t, service) != first || time.Since(before) != 0 {
				t.Fatalf("a caller noticed after %d s", second)
			}
			time.Sleep(time.Second)
			if n := looker.Calls(lookertest.Login) - 1; second == 3*60 && (n > 12 || n < 5) {
				t.Errorf("Looker saw %d tries in 3 minutes", n)
			}
		}
		looker.Fail(lookertest.Login, 0, lookertest.Fault{})
		for range 32 { // the longest hold-down, and the second that the last failure took
			before := time.Now()
			accessToken(t, service)
			if time.Since(before) != 0 {
				t.Error("a caller waited for the refresh")
			}
			time.Sleep(time.Second)
		}
		if accessToken(t, service) == first {
			t.Error("the token was not replaced 32 s after the outage")
		}
	})
}

func TestMadeUpUsersEvictNobody(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var live []string
		for i := range 50 {
			live = append(live, fmt.Sprint(i))
		}
		looker.SetUsers(live...)
		cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.MaxUsers = len(live) })
		for _, userID := range live {
			accessToken(t, cache.User(userID))
		}
		for i := range 2000 {
			if _, err := cache.User(fmt.Sprintf("made-up-%d", i)).Token(); !errors.Is(err, lookerauth.ErrUserNotFound) {
				t.Fatalf("got %v", err)
			}
		}
		for _, userID := range live {
			accessToken(t, cache.User(userID))
			if n := looker.CallsAs(lookertest.LoginUser, userID); n != 1 {
				t.Errorf("user %s logged in %d times", userID, n)
			}
		}
	})
}

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

func TestUserLearnsThatTheServiceAccountsLoginTookTooLong(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Delay: time.Hour})
		_, err := cache.User("789").Token()
		var failed *lookerauth.LoginError
		if !errors.As(err, &failed) || failed.Op != "login" || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Second)
		accessToken(t, cache.User("789"))
	})
}

func TestLoginTimeoutEndsAStalledLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		service := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.LoginTimeout = 5 * time.Second }).ServiceAccount()
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Delay: time.Hour})
		before := time.Now()
		_, err := service.Token()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "LoginTimeout, 5s") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(before); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
