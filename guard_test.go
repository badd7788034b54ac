package lookerauth_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

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
