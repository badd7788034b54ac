// Package lookerotel registers the figures of a [lookerauth.Cache] as OpenTelemetry metrics.
//
//	registration, err := lookerotel.Register(cache, otel.GetMeterProvider())
//
// They are the fields of [lookerauth.Stats], and what an alert may be about of [lookerauth.Health].
// What counts since the Cache was made is a counter, and what is so now is a gauge:
//
//	lookerauth.users                       {user}       gauge
//	lookerauth.max_users                   {user}       gauge
//	lookerauth.logins_in_flight            {login}      gauge
//	lookerauth.logins_queued               {login}      gauge
//	lookerauth.logins                      {login}      counter
//	lookerauth.login_time                  s            counter
//	lookerauth.waits                       {caller}     counter
//	lookerauth.joins                       {caller}     counter
//	lookerauth.rejections                  {token}      counter
//	lookerauth.replays                     {request}    counter
//	lookerauth.evictions                   {user}       counter
//	lookerauth.live_evictions              {user}       counter
//	lookerauth.logouts                     {token}      counter
//	lookerauth.failed_logouts              {token}      counter
//	lookerauth.store_hits                  {token}      counter
//	lookerauth.store_errors                {operation}  counter
//	lookerauth.store_unopened              {value}      counter
//	lookerauth.store_ahead                 {token}      counter
//	lookerauth.store_left_alone            {store}      gauge
//	lookerauth.service_account.token_life  s            gauge
//	lookerauth.failing_since               s            gauge
//
// lookerauth.logins has all that [lookerauth.LoginStats] counts, failed logins, too.
// lookerauth.waits has those callers for whom there was no usable token. lookerauth.failing_since
// is the Unix time since when logins fail generally, and 0 while they do not: a state, however
// rarely somebody tries. These attributes tell values apart:
//
//	lookerauth.identity  of logins, failing_since: service_account, user
//	lookerauth.trigger   of logins: caller, as somebody waited for it; refresh, in the background
//	lookerauth.outcome   of waits: served, with a token; failed, with the error of a login;
//	                     left, as their context ended first
//	error.type           of failed logins, by the reasons of lookerauth.LoginFailures: refused,
//	                     not_found, rate_limited, unavailable, or _OTHER; of failing_since, by
//	                     those of lookerauth.FailureTimes
//
// The file alerts.yml beside this one has Prometheus' rules for them.
//
// It is a module of its own, so that lookerauth itself does not depend on OpenTelemetry.
package lookerotel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/lookerauth/lookerauth"
)

// The instrumentation scope.
const (
	scope   = "github.com/lookerauth/lookerauth/lookerotel"
	version = "0.1.0" // of this module: a test compares it with CHANGELOG.md
)

// Option changes what [Register] does. The zero Option changes nothing.
type Option struct{ attributes []attribute.KeyValue }

// WithAttributes puts the attributes on every value. Given more than once they add up, and of two
// attributes with the same key the later one counts; those that a metric has itself come last. Give
// Caches that share a provider some that tell them apart: otherwise the SDK adds their counters up,
// and keeps the gauges of one of them.
func WithAttributes(attrs ...attribute.KeyValue) Option {
	return Option{attributes: slices.Clone(attrs)}
}

// Register makes provider collect the figures of cache: each collection reads
// [lookerauth.Cache.Stats] and [lookerauth.Cache.Health] once, which changes nothing.
//
// Unregister of the [metric.Registration] ends the collection, and the reference to cache.
// [lookerauth.Cache.Close] does not: what cache did until then stays visible.
//
// Register does not block, and may be called by several goroutines at once. Neither cache nor
// provider may be nil. The error is the provider's; the SDK's provider returns none.
func Register(
	cache *lookerauth.Cache, provider metric.MeterProvider, opts ...Option,
) (metric.Registration, error) {
	meter := provider.Meter(scope,
		metric.WithInstrumentationVersion(version), metric.WithSchemaURL(semconv.SchemaURL))
	var attributes []attribute.KeyValue
	for _, opt := range opts {
		attributes = append(attributes, opt.attributes...)
	}
	var observables []metric.Observable
	var observations []observation
	var errs []error
	for _, figure := range figures {
		instrument, observe, err := figure.instrument(meter)
		errs = append(errs, err)
		observables = append(observables, instrument)
		for _, value := range figure.values {
			all := attribute.NewSet(slices.Concat(attributes, value.attributes)...)
			with := metric.WithAttributeSet(all)
			observations = append(observations, observation{observe, value.of, with})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("lookerotel: %w", err)
	}
	collect := func(_ context.Context, observer metric.Observer) error {
		health := cache.Health() // first: the failures of which it tells are counted by then
		read := reading{cache.Stats(), health}
		for _, o := range observations {
			o.observe(observer, o.of(read), o.with)
		}
		return nil
	}
	registration, err := meter.RegisterCallback(collect, observables...)
	if err != nil {
		return nil, fmt.Errorf("lookerotel: %w", err)
	}
	return registration, nil
}

// observation is what is observed of one value at each collection.
type observation struct {
	observe observe
	of      func(reading) uint64
	with    metric.ObserveOption
}
