package lookerotel_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"strings"

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
	// lookerauth.users 2
	// lookerauth.max_users 10000
	// lookerauth.logins 1 lookerauth.identity=service_account,lookerauth.trigger=caller
	// lookerauth.logins 2 lookerauth.identity=user,lookerauth.trigger=caller
	// lookerauth.waits 2 lookerauth.outcome=served
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

// printMetrics collects the metrics, and prints those of things, which are not 0.
func printMetrics(ctx context.Context, reader metric.Reader) {
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		log.Fatal(err)
	}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		var points []metricdata.DataPoint[int64]
		switch data := m.Data.(type) {
		case metricdata.Gauge[int64]:
			points = data.DataPoints
		case metricdata.Sum[int64]:
			points = data.DataPoints
		}
		var lines []string
		for _, point := range points {
			if point.Value != 0 {
				attributes := point.Attributes.Encoded(attribute.DefaultEncoder())
				lines = append(lines, fmt.Sprint(m.Name, " ", point.Value, " ", attributes))
			}
		}
		slices.Sort(lines)
		for _, line := range lines {
			fmt.Println(strings.TrimSpace(line))
		}
	}
}
