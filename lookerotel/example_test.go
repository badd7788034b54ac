package lookerotel_test

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookerotel"
	"github.com/lookerauth/lookerauth/lookertest"
)

func ExampleRegister() {
	reader := metric.NewManualReader() // in a program, one that exports
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))
	looker, err := lookertest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer looker.Close()
	cache, err := lookerauth.New(looker.Config())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer cache.Close(ctx)

	registration, err := lookerotel.Register(cache, otel.GetMeterProvider())
	if err != nil {
		log.Fatal(err)
	}
	defer registration.Unregister()

	for _, userID := range []string{"789", "790", "789"} {
		resp, err := cache.User(userID).Client().Get(looker.URL + "/api/4.0/looks/1")
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
	}
	printMetrics(ctx, reader)
	// Output:
	// lookerauth.users 2 {user}
	// lookerauth.logins 3 {login}
	// lookerauth.failed_logins 0 {login}
	// lookerauth.shared_logins 0 {caller}
	// lookerauth.refreshes 0 {login}
	// lookerauth.rejections 0 {token}
	// lookerauth.replays 0 {request}
	// lookerauth.evictions 0 {user}
	// lookerauth.logouts 0 {token}
	// lookerauth.store_hits 0 {token}
	// lookerauth.store_errors 0 {operation}
}

func ExampleWithAttributes() {
	reader := metric.NewManualReader()
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))
	cache, err := lookerauth.New(lookerauth.Config{
		BaseURL: "https://eu.looker.example", ClientID: "id", ClientSecret: "secret",
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer cache.Close(ctx)

	instance := lookerotel.WithAttributes(attribute.String("looker.instance", "eu"))
	registration, err := lookerotel.Register(cache, otel.GetMeterProvider(), instance)
	if err != nil {
		log.Fatal(err)
	}
	defer registration.Unregister()

	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		log.Fatal(err)
	}
	users := collected.ScopeMetrics[0].Metrics[0].Data.(metricdata.Gauge[int64])
	fmt.Println(users.DataPoints[0].Attributes.Encoded(attribute.DefaultEncoder()))
	// Output: looker.instance=eu
}

// printMetrics collects the metrics and prints them.
func printMetrics(ctx context.Context, reader metric.Reader) {
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		log.Fatal(err)
	}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Gauge[int64]:
				fmt.Println(m.Name, data.DataPoints[0].Value, m.Unit)
			case metricdata.Sum[int64]:
				fmt.Println(m.Name, data.DataPoints[0].Value, m.Unit)
			}
		}
	}
}
