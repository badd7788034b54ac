package lookerauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestPassingFailureIsRetried(t *testing.T) {
	for _, fault := range []lookertest.Fault{{Status: 503}, {Drop: true}, {Status: 429}} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.Fail(lookertest.Login, 2, fault)
			before := time.Now()
			accessToken(t, newCache(t, looker).ServiceAccount())
			if took := time.Since(before); took < 300*time.Millisecond || took > 600*time.Millisecond {
				t.Errorf("%+v: the third try came after %v", fault, took)
			}
		})
	}
}

func TestIdentitiesThatFailTogetherAreNotRetriedTogether(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		waits := make(map[time.Duration]bool)
		for i := range 50 {
			looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: 503})
			before := time.Now()
			accessToken(t, cache.ServiceAccount())
			took := time.Since(before)
			waits[took] = true
			if took < 100*time.Millisecond || took >= 200*time.Millisecond {
				t.Errorf("login %d: the second try came after %v", i, took)
			}
			if err := cache.ServiceAccount().Logout(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(waits) < 25 {
			t.Errorf("only %d different waits before 50 second tries", len(waits))
		}
	})
}

func TestLoginWaitsByTheClock(t *testing.T) {
	for name, tt := range map[string]struct {
		fault       lookertest.Fault
		least, most time.Duration // on the simulated clock
	}{
		"backoff":      {lookertest.Fault{Status: 503}, time.Second, 2 * time.Second},
		"Retry-After":  {lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}}, 10 * time.Second, 10 * time.Second},
		"LoginTimeout": {lookertest.Fault{Delay: time.Hour}, 300 * time.Second, 300 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				looker.Fail(lookertest.Login, 1, tt.fault)
				service := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Clock = slowClock{} }).ServiceAccount()
				before := time.Now()
				_, err := service.Token()
				if took := time.Since(before); took < tt.least || took > tt.most {
					t.Errorf("the login ended after %v (%v), want %v to %v", took, err, tt.least, tt.most)
				}
			})
		})
	}
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

func TestUnreadableRetryAfterIsNone(t *testing.T) {
	for _, header := range []string{"soon", "-1", "1.5", "", "Mon, 01 Jan 1990 00:00:00 GMT"} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.Fail(lookertest.Login, -1, lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {header}}})
			_, err := newCache(t, looker).ServiceAccount().Token()
			var failed *lookerauth.LoginError
			if !errors.As(err, &failed) || failed.RetryAfter != 0 {
				t.Errorf("%q: got %v", header, err)
			}
		})
	}
}

func TestHugeRetryAfterIsCapped(t *testing.T) {
	for _, header := range []string{"99999999999999999999", "9223372036854775807", "Mon, 01 Jan 2300 00:00:00 GMT"} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {header}}})
			service := newCache(t, looker).ServiceAccount()
			_, err := service.Token()
			var failed *lookerauth.LoginError
			if !errors.As(err, &failed) || failed.RetryAfter != 24*time.Hour {
				t.Errorf("%q: got %v", header, err)
			}
			time.Sleep(24 * time.Hour)
			accessToken(t, service)
		})
	}
}
