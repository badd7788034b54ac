package integration

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookerotel"
)

// newMetrics returns the handler that Prometheus scrapes.
func newMetrics(cache *lookerauth.Cache) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return nil, err
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter))
	if _, err := lookerotel.Register(cache, provider); err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}

// metricName is the name of a metric or a label of lookerotel's, as Prometheus has it.
var metricName = regexp.MustCompile(`\blookerauth_(\w+)`)

// What the rules ask for is there under these very names.
func TestPrometheusScrapesWhatTheAlertRulesName(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	metrics, err := newMetrics(cache)
	if err != nil {
		t.Fatal(err)
	}
	checkMe(t, sdkOf(fake, cache.User("789")), "789")

	answer := httptest.NewRecorder()
	metrics.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	scraped, err := io.ReadAll(answer.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("../lookerotel/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	names := metricName.FindAllString(string(rules), -1)
	if len(names) < 20 {
		t.Errorf("the rules name %d metrics and labels", len(names))
	}
	for _, name := range names {
		if !strings.Contains(string(scraped), name) {
			t.Errorf("not scraped: %s", name)
		}
	}
}
