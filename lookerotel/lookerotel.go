// Package lookerotel registers the figures of a [lookerauth.Cache] as OpenTelemetry metrics.
//
//	registration, err := lookerotel.Register(cache, otel.GetMeterProvider())
//
// Each field of [lookerauth.Stats] is one metric. Its name is the field's in snake case, after
// "lookerauth.". What counts since the Cache was made is a counter, and what says how many there
// are now is a gauge:
//
//	lookerauth.users           {user}       gauge
//	lookerauth.logins          {login}      counter
//	lookerauth.failed_logins   {login}      counter
//	lookerauth.shared_logins   {caller}     counter
//	lookerauth.refreshes       {login}      counter
//	lookerauth.rejections      {token}      counter
//	lookerauth.replays         {request}    counter
//	lookerauth.evictions       {user}       counter
//	lookerauth.logouts         {token}      counter
//	lookerauth.store_hits      {token}      counter
//	lookerauth.store_errors    {operation}  counter
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

	"github.com/lookerauth/lookerauth"
)

// scope is the name of the instrumentation scope.
const scope = "github.com/lookerauth/lookerauth/lookerotel"

// Option changes what [Register] does. The zero Option changes nothing.
type Option struct{ attributes []attribute.KeyValue }

// WithAttributes puts the attributes on every value. Given more than once they add up, and of two
// attributes with the same key the later one counts. Give Caches that share a provider some that
// tell them apart: otherwise the SDK adds their counters up, and keeps the gauges of one of them.
func WithAttributes(attrs ...attribute.KeyValue) Option {
	return Option{attributes: slices.Clone(attrs)}
}

// Register makes provider collect the figures of cache: each collection reads
// [lookerauth.Cache.Stats] once.
//
// Unregister of the [metric.Registration] ends the collection, and the reference to cache.
// [lookerauth.Cache.Close] does not: what cache did until then stays visible.
//
// Register does not block, and may be called by several goroutines at once. Neither cache nor
// provider may be nil. The error is the provider's; the SDK's provider returns none.
func Register(
	cache *lookerauth.Cache, provider metric.MeterProvider, opts ...Option,
) (metric.Registration, error) {
	meter := provider.Meter(scope)
	instruments := make([]metric.Int64Observable, len(figures))
	observables := make([]metric.Observable, len(figures))
	var errs []error
	for i, figure := range figures {
		instrument, err := figure.instrument(meter)
		errs = append(errs, err)
		instruments[i], observables[i] = instrument, instrument
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("lookerotel: %w", err)
	}
	var attributes []attribute.KeyValue
	for _, opt := range opts {
		attributes = append(attributes, opt.attributes...)
	}
	onAll := metric.WithAttributeSet(attribute.NewSet(attributes...))
	collect := func(_ context.Context, observer metric.Observer) error {
		stats := cache.Stats()
		for i, figure := range figures {
			observer.ObserveInt64(instruments[i], int64(figure.value(stats)), onAll)
		}
		return nil
	}
	registration, err := meter.RegisterCallback(collect, observables...)
	if err != nil {
		return nil, fmt.Errorf("lookerotel: %w", err)
	}
	return registration, nil
}
