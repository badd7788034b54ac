package lookerotel

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newCache returns a Cache for a fake Looker; both are closed at the end of the test.
func newCache(
	t *testing.T, opts ...lookertest.Option,
) (*lookerauth.Cache, *lookertest.Server) {
	t.Helper()
	looker := lookertest.New(t, opts...)
	cfg := looker.Config()
	cfg.MaxUsers = 2
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close(t.Context()) })
	return cache, looker
}

// register registers cache, and unregisters it at the end of the test.
func register(
	t *testing.T,
	cache *lookerauth.Cache,
	provider metric.MeterProvider,
	opts ...Option,
) metric.Registration {
	t.Helper()
	registration, err := Register(cache, provider, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registration.Unregister() })
	return registration
}

// collect returns what the reader collects, by name.
func collect(t *testing.T, reader sdk.Reader) map[string]metricdata.Metrics {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	metrics := make(map[string]metricdata.Metrics)
	for _, of := range collected.ScopeMetrics {
		for _, m := range of.Metrics {
			metrics[m.Name] = m
		}
	}
	return metrics
}

// sum is the data of a counter without attributes.
func sum(value int64) metricdata.Sum[int64] {
	return metricdata.Sum[int64]{
		Temporality: metricdata.CumulativeTemporality,
		IsMonotonic: true,
		DataPoints:  []metricdata.DataPoint[int64]{{Value: value}},
	}
}

// loginSum is the data of the counter of logins, with these values besides zeros.
func loginSum(values map[string]int64) metricdata.Sum[int64] {
	all := sum(0)
	all.DataPoints = nil
	reasons := []string{"", "refused", "not_found", "rate_limited", "unavailable", "_OTHER"}
	for _, identity := range []string{"service_account", "user"} {
		for _, trigger := range []string{"caller", "refresh"} {
			for _, reason := range reasons {
				attributes := []attribute.KeyValue{
					attribute.String("lookerauth.identity", identity),
					attribute.String("lookerauth.trigger", trigger),
				}
				if reason != "" {
					attributes = append(attributes, attribute.String("error.type", reason))
				}
				all.DataPoints = append(all.DataPoints, metricdata.DataPoint[int64]{
					Attributes: attribute.NewSet(attributes...),
					Value:      values[strings.TrimSpace(identity+" "+trigger+" "+reason)],
				})
			}
		}
	}
	return all
}

// wantAggregation fails the test if got differs from want in more than its time.
func wantAggregation(t *testing.T, got, want metricdata.Aggregation) {
	t.Helper()
	metricdatatest.AssertAggregationsEqual(t, want, got, metricdatatest.IgnoreTimestamp())
}

func TestEveryFieldOfStatsIsAMetric(t *testing.T) {
	var stats lookerauth.Stats
	want := make(map[string]uint64)
	setFields(reflect.ValueOf(&stats).Elem(), "", want)
	delete(want, "Logins") // a sum of others
	for _, figure := range figures {
		for _, value := range figure.values {
			field := fieldOf(figure.name, value.attributes)
			if got := value.of(stats); got != want[field] {
				t.Errorf("%s with %v is %d, want %d, as %s has",
					figure.name, value.attributes, got, want[field], field)
			}
			delete(want, field)
		}
	}
	for field := range want {
		t.Errorf("%s is no metric", field)
	}
}

// setFields sets each field that is a number to another one, and notes it by the field's path.
func setFields(s reflect.Value, path string, values map[string]uint64) {
	for i := range s.NumField() {
		field, name := s.Field(i), path+s.Type().Field(i).Name
		if field.Kind() == reflect.Struct {
			setFields(field, name+".", values)
			continue
		}
		if field.Kind() == reflect.Bool {
			values[name] = 1
			field.SetBool(true)
			continue
		}
		values[name] = uint64(len(values) + 100)
		field.Set(reflect.ValueOf(values[name]).Convert(field.Type()))
	}
}

// fieldOf is the path of the field of [lookerauth.Stats] that a value must be of, by its name and
// its attributes.
func fieldOf(name string, attributes []attribute.KeyValue) string {
	if name != "lookerauth.logins" {
		return camelCase(strings.TrimPrefix(name, "lookerauth."))
	}
	has := make(map[attribute.Key]string)
	for _, attr := range attributes {
		has[attr.Key] = attr.Value.AsString()
	}
	of := map[string]string{"service_account": "ServiceAccount.", "user": "UserLogins."}
	field := of[has["lookerauth.identity"]]
	reason, failed := has["error.type"]
	switch trigger := has["lookerauth.trigger"]; {
	case trigger == "caller" && !failed:
		return field + "Granted"
	case trigger == "refresh" && !failed:
		return field + "Refreshed"
	case trigger == "caller":
		field += "Failed."
	case trigger == "refresh":
		field += "RefreshFailed."
	}
	if reason == semconv.ErrorTypeOther.Value.AsString() {
		return field + "Other"
	}
	return field + camelCase(reason)
}

var word = regexp.MustCompile(`(?:^|_)([a-z])`)

func camelCase(name string) string {
	return word.ReplaceAllStringFunc(name, func(start string) string {
		return strings.ToUpper(strings.TrimPrefix(start, "_"))
	})
}

func TestEveryMetricIsInThePackageComment(t *testing.T) {
	source, err := os.ReadFile("lookerotel.go")
	if err != nil {
		t.Fatal(err)
	}
	comment := strings.Join(strings.Fields(string(source)), " ")
	comment = strings.ReplaceAll(comment, " // ", " ")
	kinds := map[kind]string{gauge: "gauge", counter: "counter", seconds: "counter"}
	check := func(text string) {
		t.Helper()
		if !strings.Contains(comment, text) {
			t.Errorf("%q is not in the package comment", text)
		}
	}
	for _, figure := range figures {
		check(figure.name + " " + figure.unit + " " + kinds[figure.kind])
		for _, value := range figure.values {
			for _, attr := range value.attributes {
				check(" " + string(attr.Key) + " ")
				check(" " + attr.Value.AsString())
			}
		}
	}
}

func TestMetricsFollowTheCache(t *testing.T) {
	cache, looker := newCache(t)
	reader := sdk.NewManualReader()
	register(t, cache, sdk.NewMeterProvider(sdk.WithReader(reader)))

	for _, userID := range []string{"789", "790", "791"} {
		get(t, cache, looker, userID) // 4 logins, with the service account's, and an eviction
	}
	looker.Revoke("791")
	get(t, cache, looker, "791") // a rejection, a replay and a login
	looker.SetUsers("789", "790", "791")
	if _, err := cache.User("792").TokenContext(t.Context()); err == nil {
		t.Error("there is no user 792")
	}

	collected := collect(t, reader)
	want := func(name, unit, description string, data metricdata.Aggregation) {
		t.Helper()
		m := metricdata.Metrics{Name: name, Unit: unit, Description: description, Data: data}
		metricdatatest.AssertEqual(t, m, collected[name], metricdatatest.IgnoreTimestamp())
	}
	users := metricdata.Gauge[int64]{DataPoints: []metricdata.DataPoint[int64]{{Value: 2}}}
	logins := loginSum(map[string]int64{
		"service_account caller": 1, "user caller": 4, "user caller not_found": 1,
	})
	want("lookerauth.users", "{user}", "Users whose token is kept.", users)
	want("lookerauth.logins", "{login}", "Logins that have ended.", logins)
	want("lookerauth.replays", "{request}", "Requests sent a second time after a 401.", sum(1))
	want("lookerauth.evictions", "{user}", "Users pushed out by more recent ones.", sum(1))
}

// get makes one request as a user.
func get(t *testing.T, cache *lookerauth.Cache, looker *lookertest.Server, userID string) {
	t.Helper()
	resp, err := cache.User(userID).Client().Get(looker.URL + "/api/4.0/looks/1")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestTimeOfLoginsIsInSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, looker := newCache(t, lookertest.InMemory())
		reader := sdk.NewManualReader()
		register(t, cache, sdk.NewMeterProvider(sdk.WithReader(reader)))
		slow := lookertest.Fault{Delay: 1500 * time.Millisecond}
		looker.FailNext(lookertest.OpLogin, slow)
		if _, err := cache.ServiceAccount().TokenContext(t.Context()); err != nil {
			t.Error(err)
		}

		metricdatatest.AssertEqual(t, metricdata.Metrics{
			Name:        "lookerauth.login_time",
			Unit:        "s",
			Description: "Time of all logins together, each from its turn to its end.",
			Data: metricdata.Sum[float64]{
				Temporality: metricdata.CumulativeTemporality,
				IsMonotonic: true,
				DataPoints:  []metricdata.DataPoint[float64]{{Value: 1.5}},
			},
		}, collect(t, reader)["lookerauth.login_time"], metricdatatest.IgnoreTimestamp())
	})
}

func TestAttributesOfLoginsComeLast(t *testing.T) {
	cache, _ := newCache(t)
	reader := sdk.NewManualReader()
	another := WithAttributes(attribute.String("lookerauth.identity", "another"))
	register(t, cache, sdk.NewMeterProvider(sdk.WithReader(reader)), another)

	wantAggregation(t, collect(t, reader)["lookerauth.logins"].Data, loginSum(nil))
}

func TestAttributesTellCachesApart(t *testing.T) {
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	var want []metricdata.DataPoint[int64]
	for users, instance := range []string{"asia", "eu", "us"} {
		cache, looker := newCache(t)
		instanceOf := attribute.String("looker.instance", instance)
		register(t, cache, provider, WithAttributes(instanceOf))
		for _, userID := range []string{"789", "790"}[:users] {
			get(t, cache, looker, userID)
		}
		want = append(want, metricdata.DataPoint[int64]{
			Attributes: attribute.NewSet(instanceOf), Value: int64(users),
		})
	}

	got := collect(t, reader)["lookerauth.users"].Data

	wantAggregation(t, got, metricdata.Gauge[int64]{DataPoints: want})
}

func TestAttributesAddUpAndLaterOnesCount(t *testing.T) {
	cache, _ := newCache(t)
	reader := sdk.NewManualReader()
	given := []attribute.KeyValue{attribute.String("region", "asia"), attribute.Int("shard", 1)}
	first, second := WithAttributes(given...), WithAttributes(attribute.String("region", "eu"))
	given[1] = attribute.Int("shard", 2) // is too late to count

	register(t, cache, sdk.NewMeterProvider(sdk.WithReader(reader)), first, Option{}, second)

	want := attribute.NewSet(attribute.String("region", "eu"), attribute.Int("shard", 1))
	wantAggregation(t, collect(t, reader)["lookerauth.users"].Data, metricdata.Gauge[int64]{
		DataPoints: []metricdata.DataPoint[int64]{{Attributes: want}},
	})
}

func TestNothingIsCollectedAfterUnregister(t *testing.T) {
	cache, _ := newCache(t)
	reader := sdk.NewManualReader()
	registration := register(t, cache, sdk.NewMeterProvider(sdk.WithReader(reader)))
	if len(collect(t, reader)) != len(figures) {
		t.Error("not everything is collected while registered")
	}

	if err := registration.Unregister(); err != nil {
		t.Fatal(err)
	}

	if collected := collect(t, reader); len(collected) != 0 {
		t.Errorf("collected %v", collected)
	}
}

func TestMetricsOutliveClose(t *testing.T) {
	cache, looker := newCache(t)
	reader := sdk.NewManualReader()
	register(t, cache, sdk.NewMeterProvider(sdk.WithReader(reader)))
	get(t, cache, looker, "789")

	if err := cache.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	wantAggregation(t, collect(t, reader)["lookerauth.logouts"].Data, sum(2))
}

// brokenProvider is one whose meters cannot make counters.
type brokenProvider struct{ noop.MeterProvider }

func (brokenProvider) Meter(string, ...metric.MeterOption) metric.Meter { return brokenMeter{} }

type brokenMeter struct{ noop.Meter }

var errBroken = errors.New("no counters here")

func (brokenMeter) Int64ObservableCounter(
	string, ...metric.Int64ObservableCounterOption,
) (metric.Int64ObservableCounter, error) {
	return nil, errBroken
}

func TestErrorOfTheProviderIsReturned(t *testing.T) {
	cache, _ := newCache(t)

	_, err := Register(cache, brokenProvider{})

	if !errors.Is(err, errBroken) || !strings.HasPrefix(err.Error(), "lookerotel: ") {
		t.Errorf("the error is %v", err)
	}
}
