package lookerotel

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/instrumentation"
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

// waitSum is the data of the counter of callers who waited.
func waitSum(served, failed, left int64) metricdata.Sum[int64] {
	all := sum(0)
	all.DataPoints = nil
	values := map[string]int64{"served": served, "failed": failed, "left": left}
	for outcome, value := range values {
		attributes := attribute.NewSet(attribute.String("lookerauth.outcome", outcome))
		point := metricdata.DataPoint[int64]{Attributes: attributes, Value: value}
		all.DataPoints = append(all.DataPoints, point)
	}
	return all
}

// wantAggregation fails the test if got differs from want in more than its time.
func wantAggregation(t *testing.T, got, want metricdata.Aggregation) {
	t.Helper()
	metricdatatest.AssertAggregationsEqual(t, want, got, metricdatatest.IgnoreTimestamp())
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
	looker.SetUsers([]lookertest.User{{ID: "789"}, {ID: "790"}, {ID: "791"}}...)
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
	want("lookerauth.waits", "{caller}",
		"Callers for whom there was no usable token, by how that ended.", waitSum(4, 1, 0))
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

func TestTimesAreInSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, looker := newCache(t, lookertest.InMemory())
		reader := sdk.NewManualReader()
		register(t, cache, sdk.NewMeterProvider(sdk.WithReader(reader)))
		slow := lookertest.Fault{Delay: 1500 * time.Millisecond}
		looker.FailNext(lookertest.OpLogin, slow)
		if _, err := cache.ServiceAccount().TokenContext(t.Context()); err != nil {
			t.Error(err)
		}
		looker.SetAdmin(false)
		since := float64(time.Now().UnixNano()) / 1e9
		for _, userID := range []string{"789", "790"} { // two, so that it is nobody's own
			if _, err := cache.User(userID).TokenContext(t.Context()); err == nil {
				t.Error("there is no admin right")
			}
		}

		collected := collect(t, reader)
		want := func(name, description string, data metricdata.Aggregation) {
			t.Helper()
			m := metricdata.Metrics{Name: name, Unit: "s", Description: description, Data: data}
			metricdatatest.AssertEqual(t, m, collected[name], metricdatatest.IgnoreTimestamp())
		}
		want("lookerauth.login_time", "Time of all logins together, each from its turn to its end.",
			metricdata.Sum[float64]{
				Temporality: metricdata.CumulativeTemporality,
				IsMonotonic: true,
				DataPoints:  []metricdata.DataPoint[float64]{{Value: 1.5}},
			})
		life := (time.Hour - 10*time.Second - slow.Delay).Seconds()
		want("lookerauth.service_account.token_life",
			"Time for which the service account's token can be used; 0 without one.",
			metricdata.Gauge[float64]{DataPoints: []metricdata.DataPoint[float64]{{Value: life}}})
		want("lookerauth.failing_since",
			"Unix time since when logins fail so, generally; 0 while they do not.",
			metricdata.Gauge[float64]{DataPoints: failing("user", "refused", since)})
	})
}

func TestReadyFromTheFirstLoginOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, looker := newCache(t, lookertest.InMemory())
		check := func(want bool) {
			t.Helper()
			if got := !cache.Health().ServiceAccount.LastSuccess.IsZero(); got != want {
				t.Errorf("ready: %t, want %t", got, want)
			}
		}
		logIn := func() error {
			_, err := cache.ServiceAccount().TokenContext(t.Context())
			return err
		}
		away := func(lookertest.Request) lookertest.Fault { return lookertest.Fault{Drop: true} }
		looker.FailFunc(away)
		if logIn() == nil {
			t.Error("Looker is away")
		}
		check(false)
		looker.FailFunc(nil)
		time.Sleep(time.Minute)
		if err := logIn(); err != nil {
			t.Error(err)
		}
		check(true)
		looker.FailFunc(away)
		time.Sleep(2 * time.Hour)
		if logIn() == nil {
			t.Error("Looker is away")
		}
		check(true)
	})
}

// A state tells what the obvious probe does not.
func TestServiceAccountsTokenIsTheWrongProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, looker := newCache(t, lookertest.InMemory())
		reader := sdk.NewManualReader()
		register(t, cache, sdk.NewMeterProvider(sdk.WithReader(reader)))
		check := func(who *lookerauth.TokenSource, want error, failing ...string) {
			t.Helper()
			if _, err := who.TokenContext(t.Context()); !errors.Is(err, want) {
				t.Errorf("%v got %v, want %v", who.Identity(), err, want)
			}
			gauge := collect(t, reader)["lookerauth.failing_since"].Data.(metricdata.Gauge[float64])
			for _, point := range gauge.DataPoints {
				who, _ := point.Attributes.Value("lookerauth.identity")
				why, _ := point.Attributes.Value("error.type")
				of := who.AsString() + " " + why.AsString()
				if fails := slices.Contains(failing, of); fails != (point.Value > 0) {
					t.Errorf("logins of %v fail since %v, want %t", of, point.Value, fails)
				}
			}
		}
		probe, user := cache.ServiceAccount(), cache.User("789")
		check(probe, nil)
		looker.SetAdmin(false) // it is ready, and no user can be served
		check(cache.User("790"), lookerauth.ErrForbidden)
		check(user, lookerauth.ErrForbidden, "user refused")
		check(probe, nil, "user refused")

		looker.SetAdmin(true)
		time.Sleep(30 * time.Minute)
		check(user, nil)
		key := looker.Config()
		looker.SetKey(key.ClientID, "another")
		time.Sleep(30 * time.Minute) // it is unready, and users are served
		check(probe, lookerauth.ErrBadAPIKey, "service_account refused")
		check(user, nil, "service_account refused")
	})
}

// failing are the points of failing_since if only one of them is not 0.
func failing(identity, errorType string, since float64) (points []metricdata.DataPoint[float64]) {
	for _, who := range []string{"service_account", "user"} {
		for _, why := range []string{"refused", "rate_limited", "unavailable", "_OTHER"} {
			point := metricdata.DataPoint[float64]{Attributes: attribute.NewSet(
				attribute.String("lookerauth.identity", who), attribute.String("error.type", why))}
			if who == identity && why == errorType {
				point.Value = since
			}
			points = append(points, point)
		}
	}
	return points
}

// countingClock counts how often it is looked at.
type countingClock struct{ looks atomic.Int64 }

func (c *countingClock) Now() time.Time { c.looks.Add(1); return time.Now() }

func (c *countingClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// noStore is a Store that holds nothing.
type noStore struct{}

func (noStore) Get(context.Context, string) ([]byte, error) { return nil, nil }

func (noStore) CompareAndSwap(
	_ context.Context, _ string, _, next []byte, _ time.Duration,
) ([]byte, error) {
	return next, nil
}

func TestCollectionReadsOnce(t *testing.T) {
	clock := &countingClock{}
	cfg := lookertest.New(t).Config()
	cfg.Clock, cfg.Store, cfg.StoreKeys = clock, noStore{}, [][]byte{make([]byte, 32)}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close(t.Context())
	reader := sdk.NewManualReader()
	register(t, cache, sdk.NewMeterProvider(sdk.WithReader(reader)))

	_, _ = cache.Stats(), cache.Health()
	want := clock.looks.Swap(0)
	collect(t, reader)

	if got := clock.looks.Load(); want == 0 || got != want {
		t.Errorf("%d looks at the clock, want %d", got, want)
	}
}

func TestScopeHasTheVersionAndTheSchema(t *testing.T) {
	cache, _ := newCache(t)
	reader := sdk.NewManualReader()
	register(t, cache, sdk.NewMeterProvider(sdk.WithReader(reader)))
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	want := instrumentation.Scope{Name: scope, Version: version, SchemaURL: semconv.SchemaURL}
	if got := collected.ScopeMetrics[0].Scope; got != want {
		t.Errorf("the scope is %+v, want %+v", got, want)
	}
}

func TestVersionIsTheChangelogsLast(t *testing.T) {
	changes, err := os.ReadFile("../CHANGELOG.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the module alone has no changelog")
	}
	if err != nil {
		t.Fatal(err)
	}
	want := "0.1.0" // until there is a release, what the first will be
	if last := regexp.MustCompile(`(?m)^## v?(\d+\.\d+\.\d+)`).FindSubmatch(changes); last != nil {
		want = string(last[1])
	}
	if version != want {
		t.Errorf("the version is %s, want %s", version, want)
	}
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
