package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookerotel"
)

// healthz says that the process is alive.
func (s *service) healthz(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") }

// readyz says whether requests may come: from the first login on. It stays so while Looker is away:
// otherwise all processes would be taken out of service at once, and nobody could tell customers.
func (s *service) readyz(w http.ResponseWriter, _ *http.Request) {
	if s.cache.Health().ServiceAccount.LastSuccess.IsZero() {
		http.Error(w, "no login has succeeded yet: see /status", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// status says in words how logging in goes. It is for whoever is on call.
func (s *service) status(w http.ResponseWriter, _ *http.Request) {
	health := s.cache.Health()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "Service account: "+words(health.ServiceAccount))
	fmt.Fprintln(w, "Customers: "+words(health.Users))
}

func words(h lookerauth.LoginHealth) string {
	switch {
	case h.FailingSince.IsZero() && h.LastSuccess.IsZero():
		return "no login yet."
	case h.FailingSince.IsZero():
		return "logins work. The last one was at " + timeOf(h.LastSuccess) + "."
	}
	since, what := timeOf(h.FailingSince), cause(h.Err)
	return fmt.Sprintf("logins fail since %s: %s\n  %v", since, what, h.Err)
}

func timeOf(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// cause is what to do about an error.
func cause(err error) string {
	var failed *lookerauth.CallError
	switch {
	case errors.Is(err, lookerauth.ErrBadAPIKey):
		return "Looker refuses our API key. Somebody has changed it: set the new one."
	case errors.Is(err, lookerauth.ErrForbidden):
		return "our service account may no longer act as customers. Give it back the Admin role."
	case errors.Is(err, lookerauth.ErrRateLimited):
		return "Looker asks for a pause. It passes by itself."
	case errors.Is(err, lookerauth.ErrNotLooker):
		return "something answers that is not Looker's API. Check LOOKERSDK_BASE_URL."
	case errors.As(err, &failed) && failed.StatusCode == 0:
		return "Looker does not answer. See whether it runs, and can be reached from here."
	case errors.As(err, &failed) && failed.StatusCode >= 500:
		return "Looker answers that it is out of order. See how it is."
	}
	return "this is new to us:"
}

// newMetrics returns what Prometheus reads: the figures of the cache, by way of OpenTelemetry.
func newMetrics(cache *lookerauth.Cache) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter))
	if _, err := lookerotel.Register(cache, provider); err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}
