// Package lookerotel registers the figures of a lookerauth.Cache as OpenTelemetry metrics.
//
//	registration, err := lookerotel.Register(cache, otel.GetMeterProvider())
//
// Each field of lookerauth.Stats is one metric, named lookerauth. and the field's name in snake case. Those that count what
// the Cache did since it was made are counters, the others gauges:
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

// Register makes provider collect the figures of cache: its Stats are read once for each collection. The attributes are on
// every value. Caches that share a provider need some that tell them apart: the SDK otherwise adds their counters up, and keeps
// the gauges of one of them.
//
// Nothing is collected any more after Unregister of the Registration, which also lets go of cache. To close cache does not
// end the collection.
//
// It does not block, and may be called from several goroutines at once. The error is that of the provider; with the SDK's
// there is none.
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
	registration, err := meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		stats := cache.Stats()
		for i, figure := range figures {
			observer.ObserveInt64(instruments[i], int64(figure.value(stats)), option)
		}
		return nil
	}, observables...)
	if err != nil {
		return nil, fmt.Errorf("lookerotel: %w", err)
	}
	return registration, nil
}
