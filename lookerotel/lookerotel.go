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

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/lookerauth/lookerauth"
)

// scope is the name of the instrumentation scope.
const scope = "github.com/lookerauth/lookerauth/lookerotel"

// Register makes provider collect the figures of cache: each collection reads its Stats once. The
// attributes are on every value. Give Caches that share a provider some that tell them apart:
// otherwise the SDK adds their counters up, and keeps the gauges of one of them.
//
// Unregister of the [metric.Registration] ends the collection, and the reference to cache.
// [lookerauth.Cache.Close] does not: what cache did until then stays visible.
//
// Register does not block, and may be called by several goroutines at once. Neither argument may be
// nil. The error is the provider's; the SDK's provider returns none.
func Register(
	cache *lookerauth.Cache, provider metric.MeterProvider, attributes ...attribute.KeyValue,
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
	option := metric.WithAttributeSet(attribute.NewSet(attributes...))
	collect := func(_ context.Context, observer metric.Observer) error {
		stats := cache.Stats()
		for i, figure := range figures {
			observer.ObserveInt64(instruments[i], int64(figure.value(stats)), option)
		}
		return nil
	}
	registration, err := meter.RegisterCallback(collect, observables...)
	if err != nil {
		return nil, fmt.Errorf("lookerotel: %w", err)
	}
	return registration, nil
}
