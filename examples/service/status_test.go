package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestReadyFromTheFirstLoginOn(t *testing.T) {
	simulate(t, func(t *testing.T, s *stand) {
		drop(s.looker)
		s.want(t, "/healthz", "", http.StatusOK)
		s.want(t, "/readyz", "", http.StatusServiceUnavailable)
		s.call("GET", "/", "ann", nil)
		s.want(t, "/readyz", "", http.StatusServiceUnavailable)
		s.looker.FailFunc(nil)
		warmUp(t.Context(), s.cache)
		s.want(t, "/readyz", "", http.StatusOK)
	})
}

func TestStatusSaysWhatIsWrongAndReadinessStays(t *testing.T) {
	const (
		key    = "refuses our API key"
		right  = "may no longer act as customers"
		absent = "does not answer"
		busy   = "asks for a pause"
		other  = "that is not Looker's API"
		broken = "out of order"
	)
	always := func(fault lookertest.Fault) func(*lookertest.Server) {
		return func(l *lookertest.Server) {
			l.FailFunc(func(lookertest.Request) lookertest.Fault { return fault })
		}
	}
	for name, try := range map[string]struct {
		breaks func(*lookertest.Server)
		text   string
	}{
		"wrong key":      {func(l *lookertest.Server) { l.SetKey("other", "key") }, key},
		"lost right":     {func(l *lookertest.Server) { l.SetAdmin(false) }, right},
		"absent":         {drop, absent},
		"busy":           {always(lookertest.Fault{Status: 429}), busy},
		"not Looker":     {always(lookertest.Fault{Body: "<html>"}), other},
		"broken":         {always(lookertest.Fault{Status: 500}), broken},
		"nothing at all": {func(*lookertest.Server) {}, "Customers: logins work"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, s *stand) {
				s.want(t, "/status", "", http.StatusOK, "no login yet")
				s.want(t, "/", "ann", http.StatusOK)
				time.Sleep(2 * time.Hour) // all tokens have expired
				try.breaks(s.looker)
				s.call("GET", "/", "ann", nil)
				s.call("GET", "/", "bob", nil)
				s.want(t, "/status", "", http.StatusOK, try.text)
				_, status := s.call("GET", "/status", "", nil)
				for _, text := range []string{key, right, absent, busy, other, broken} {
					if text != try.text && strings.Contains(status, text) {
						t.Errorf("/status also says %q:\n%s", text, status)
					}
				}
				s.want(t, "/readyz", "", http.StatusOK)
			})
		})
	}
}

func TestMetricsHaveTheFigures(t *testing.T) {
	simulate(t, func(t *testing.T, s *stand) {
		s.want(t, "/", "ann", http.StatusOK)
		s.want(t, "/metrics", "", http.StatusOK, "lookerauth_users 1\n",
			`lookerauth_logins_total{lookerauth_identity="user",lookerauth_trigger="caller"} 1`)
	})
}
