package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// recordSpans records the spans of the global tracer provider until the end of the test.
func recordSpans(t *testing.T) *tracetest.SpanRecorder {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(recorder)))
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	return recorder
}

// spansOf returns the ended spans of the calls to this path.
func spansOf(
	recorder *tracetest.SpanRecorder, fake *lookertest.Server, path string,
) (spans []trace.ReadOnlySpan) {
	want := attribute.String("url.full", fake.URL+"/api/4.0"+path)
	for _, span := range recorder.Ended() {
		for _, have := range span.Attributes() {
			if have == want {
				spans = append(spans, span)
			}
		}
	}
	return spans
}

// get makes one request in a span of its own, and returns that span.
func get(t *testing.T, client *http.Client, url string) trace.ReadOnlySpan {
	t.Helper()
	ctx, span := otel.Tracer("test").Start(t.Context(), "report")
	defer span.End()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	check(t, resp, err, answer{UserID: "789"})
	return span.(trace.ReadOnlySpan)
}

func TestLoginIsASpanBelowTheRequestThatCausedIt(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		recorder := recordSpans(t)
		cfg := fake.Config()
		ctx := context.Background()

		cfg.Transport = otelhttp.NewTransport(cfg.Transport) // a span for each call to Looker
		cache, err := lookerauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close(ctx)

		report := get(t, cache.User("789").Client(), fake.URL+"/api/4.0/looks/1")

		for _, path := range []string{"/login", "/login/789", "/looks/1"} {
			spans := spansOf(recorder, fake, path)
			if len(spans) != 1 {
				t.Fatalf("%d spans of %s, want 1", len(spans), path)
			}
			if parent := spans[0].Parent(); parent.SpanID() != report.SpanContext().SpanID() {
				t.Errorf("the parent of %s is %v", path, parent)
			}
		}
	})
}

func TestSpanAboveTheTransportHoldsTheLogin(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		recorder := recordSpans(t)
		cfg := fake.Config()
		cfg.Transport = otelhttp.NewTransport(cfg.Transport)
		cache := newCache(t, cfg)

		client := &http.Client{Transport: otelhttp.NewTransport(cache.User("789").Transport(nil))}
		report := get(t, client, fake.URL+"/api/4.0/looks/1")

		requests := spansOf(recorder, fake, "/looks/1")
		if len(requests) != 2 {
			t.Fatalf("%d spans of the request, want one above and one below", len(requests))
		}
		below, above := requests[0], requests[1]
		if above.Parent().SpanID() != report.SpanContext().SpanID() {
			t.Errorf("the parent of the span above is %v", above.Parent())
		}
		login := spansOf(recorder, fake, "/login/789")[0]
		for _, span := range []trace.ReadOnlySpan{below, login} {
			if span.Parent().SpanID() != above.SpanContext().SpanID() {
				t.Errorf("the parent of %v is %v", span.Attributes(), span.Parent())
			}
		}
	})
}

func TestBackgroundRefreshHasATraceOfItsOwn(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		recorder := recordSpans(t)
		cfg := fake.Config()
		cfg.Transport = otelhttp.NewTransport(cfg.Transport)
		cache := newCache(t, cfg)
		client := cache.User("789").Client()
		first := get(t, client, fake.URL+"/api/4.0/looks/1")

		time.Sleep(56 * time.Minute) // the token is aging
		second := get(t, client, fake.URL+"/api/4.0/looks/1")
		synctest.Wait() // for the refresh

		for _, path := range []string{"/login", "/login/789"} {
			spans := spansOf(recorder, fake, path)
			if len(spans) != 2 {
				t.Fatalf("%d spans of %s, want a login's and a refresh's", len(spans), path)
			}
			refresh := spans[1]
			if refresh.Parent().IsValid() || len(refresh.Links()) > 0 {
				t.Errorf("the parent of %s is %v, its links are %v",
					path, refresh.Parent(), refresh.Links())
			}
			for _, request := range []trace.ReadOnlySpan{first, second} {
				if refresh.SpanContext().TraceID() == request.SpanContext().TraceID() {
					t.Errorf("%s is in the trace of a request that did not wait for it", path)
				}
			}
		}
	})
}

func TestNoSpanTellsASecret(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		recorder := recordSpans(t)
		cfg := fake.Config()
		cfg.Transport = otelhttp.NewTransport(cfg.Transport)
		cache := newCache(t, cfg)
		get(t, cache.User("789").Client(), fake.URL+"/api/4.0/looks/1")
		token, err := cache.User("789").TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		text := fmt.Sprint(tracetest.SpanStubsFromReadOnlySpans(recorder.Ended()))

		for _, secret := range []string{cfg.ClientID, cfg.ClientSecret, token.AccessToken} {
			if strings.Contains(text, secret) {
				t.Error("a secret is in a span")
			}
		}
	})
}
