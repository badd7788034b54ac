package lookerotel

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/lookerauth/lookerauth"
)

// reading is what one collection reads of a Cache.
type reading struct {
	lookerauth.Stats
	health lookerauth.Health
}

// figures has one for each field of a reading, but that what attributes tell apart is one, and that
// of [lookerauth.Health] only states are, which a query may compare with a limit.
//
// The number of users is a gauge, not a sum that goes up and down: several processes may hold a
// token of the same user.
var figures = []figure{
	{gauge, "lookerauth.users", "{user}",
		"Users whose token is kept.",
		only(func(r reading) uint64 { return uint64(r.Users) })},
	{gauge, "lookerauth.max_users", "{user}",
		"Users whose token can be kept at once.",
		only(func(r reading) uint64 { return uint64(r.MaxUsers) })},
	{gauge, "lookerauth.logins_in_flight", "{login}",
		"Logins that have one of the slots now.",
		only(func(r reading) uint64 { return uint64(r.LoginsInFlight) })},
	{gauge, "lookerauth.logins_queued", "{login}",
		"Logins that wait for a slot now, or for the end of a pause.",
		only(func(r reading) uint64 { return uint64(r.LoginsQueued) })},
	{counter, "lookerauth.logins", "{login}",
		"Logins that have ended.",
		logins()},
	{secondsCounter, "lookerauth.login_time", "s",
		"Time of all logins together, each from its turn to its end.",
		only(func(r reading) uint64 { return uint64(r.LoginTime) })},
	{counter, "lookerauth.waits", "{caller}",
		"Callers for whom there was no usable token, by how that ended.",
		waits()},
	{counter, "lookerauth.joins", "{caller}",
		"Callers who got the result of a login under way when they came.",
		only(func(r reading) uint64 { return r.Joins })},
	{counter, "lookerauth.rejections", "{token}",
		"Tokens invalidated because Looker rejected them, or through Invalidate.",
		only(func(r reading) uint64 { return r.Rejections })},
	{counter, "lookerauth.replays", "{request}",
		"Requests sent a second time after a 401.",
		only(func(r reading) uint64 { return r.Replays })},
	{counter, "lookerauth.evictions", "{user}",
		"Users pushed out by more recent ones.",
		only(func(r reading) uint64 { return r.Evictions })},
	{counter, "lookerauth.live_evictions", "{user}",
		"Users pushed out whose token could still be used.",
		only(func(r reading) uint64 { return r.LiveEvictions })},
	{counter, "lookerauth.logouts", "{token}",
		"Tokens revoked at Looker.",
		only(func(r reading) uint64 { return r.Logouts })},
	{counter, "lookerauth.failed_logouts", "{token}",
		"Tokens that could not be revoked at Looker.",
		only(func(r reading) uint64 { return r.FailedLogouts })},
	{counter, "lookerauth.store_hits", "{token}",
		"Tokens taken from the Store.",
		only(func(r reading) uint64 { return r.StoreHits })},
	{counter, "lookerauth.store_errors", "{operation}",
		"Operations of the Store that failed.",
		only(func(r reading) uint64 { return r.StoreErrors })},
	{counter, "lookerauth.store_unopened", "{value}",
		"Values from the Store that did not open.",
		only(func(r reading) uint64 { return r.StoreUnopened })},
	{counter, "lookerauth.store_ahead", "{token}",
		"Tokens from the Store whose login lies in the future.",
		only(func(r reading) uint64 { return r.StoreAhead })},
	{gauge, "lookerauth.store_left_alone", "{store}",
		"Stores that are left alone, as they have just failed: 0 or 1.",
		only(func(r reading) uint64 { return bit(r.StoreLeftAlone) })},
	{secondsGauge, "lookerauth.service_account.token_life", "s",
		"Time for which the service account's token can be used; 0 without one.",
		only(func(r reading) uint64 { return uint64(r.health.TokenLife) })},
	{secondsGauge, "lookerauth.failing_since", "s",
		"Unix time since when logins fail so, generally; 0 while they do not.",
		failingSince()},
}

// figure is a metric.
type figure struct {
	kind        kind
	name        string
	unit        string
	description string
	values      []value
}

// value is one of a metric's, which its attributes tell from the others.
type value struct {
	attributes []attribute.KeyValue
	of         func(reading) uint64
}

// bit is 1 for true.
func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// only is the value of a metric that has no other.
func only(of func(reading) uint64) []value { return []value{{nil, of}} }

// The keys of attributes.
const (
	identityKey = attribute.Key("lookerauth.identity")
	triggerKey  = attribute.Key("lookerauth.trigger")
	outcomeKey  = attribute.Key("lookerauth.outcome")
)

// The values of lookerauth.identity.
const (
	serviceAccount = "service_account"
	user           = "user"
)

// logins are the values of all [lookerauth.LoginStats], those of failed logins with an error.type.
func logins() (values []value) {
	for _, who := range []struct {
		identity string
		of       func(reading) lookerauth.LoginStats
	}{
		{serviceAccount, func(r reading) lookerauth.LoginStats { return r.ServiceAccount }},
		{user, func(r reading) lookerauth.LoginStats { return r.UserLogins }},
	} {
		for _, why := range []struct {
			trigger string
			granted func(lookerauth.LoginStats) uint64
			failed  func(lookerauth.LoginStats) lookerauth.LoginFailures
		}{
			{"caller",
				func(l lookerauth.LoginStats) uint64 { return l.Granted },
				func(l lookerauth.LoginStats) lookerauth.LoginFailures { return l.Failed }},
			{"refresh",
				func(l lookerauth.LoginStats) uint64 { return l.Refreshed },
				func(l lookerauth.LoginStats) lookerauth.LoginFailures { return l.RefreshFailed }},
		} {
			identity, trigger := identityKey.String(who.identity), triggerKey.String(why.trigger)
			granted := func(r reading) uint64 { return why.granted(who.of(r)) }
			values = append(values, value{[]attribute.KeyValue{identity, trigger}, granted})
			for _, reason := range reasons {
				failed := func(r reading) uint64 { return reason.of(why.failed(who.of(r))) }
				with := []attribute.KeyValue{identity, trigger, reason.errorType}
				values = append(values, value{with, failed})
			}
		}
	}
	return values
}

// reasons are the fields of [lookerauth.LoginFailures] and of [lookerauth.FailureTimes].
var reasons = []struct {
	errorType attribute.KeyValue
	of        func(lookerauth.LoginFailures) uint64
	since     func(lookerauth.FailureTimes) time.Time // nil if logins never fail so, generally
}{
	{semconv.ErrorTypeKey.String("refused"),
		func(f lookerauth.LoginFailures) uint64 { return f.Refused },
		func(t lookerauth.FailureTimes) time.Time { return t.Refused }},
	{semconv.ErrorTypeKey.String("not_found"),
		func(f lookerauth.LoginFailures) uint64 { return f.NotFound }, nil},
	{semconv.ErrorTypeKey.String("rate_limited"),
		func(f lookerauth.LoginFailures) uint64 { return f.RateLimited },
		func(t lookerauth.FailureTimes) time.Time { return t.RateLimited }},
	{semconv.ErrorTypeKey.String("unavailable"),
		func(f lookerauth.LoginFailures) uint64 { return f.Unavailable },
		func(t lookerauth.FailureTimes) time.Time { return t.Unavailable }},
	{semconv.ErrorTypeOther,
		func(f lookerauth.LoginFailures) uint64 { return f.Other },
		func(t lookerauth.FailureTimes) time.Time { return t.Other }},
}

// waits are the values of those fields of [lookerauth.Stats] that count callers who waited.
func waits() (values []value) {
	for _, end := range []struct {
		outcome string
		of      func(reading) uint64
	}{
		{"served", func(r reading) uint64 { return r.WaitsServed }},
		{"failed", func(r reading) uint64 { return r.WaitsFailed }},
		{"left", func(r reading) uint64 { return r.WaitsLeft }},
	} {
		outcome := outcomeKey.String(end.outcome)
		values = append(values, value{[]attribute.KeyValue{outcome}, end.of})
	}
	return values
}

// failingSince are the values of [lookerauth.FailureTimes].
func failingSince() (values []value) {
	for _, who := range []struct {
		identity string
		of       func(reading) lookerauth.LoginHealth
	}{
		{serviceAccount, func(r reading) lookerauth.LoginHealth { return r.health.ServiceAccount }},
		{user, func(r reading) lookerauth.LoginHealth { return r.health.Users }},
	} {
		for _, reason := range reasons {
			if reason.since == nil {
				continue
			}
			since := func(r reading) uint64 { return unixNano(reason.since(who.of(r).Reasons)) }
			with := []attribute.KeyValue{identityKey.String(who.identity), reason.errorType}
			values = append(values, value{with, since})
		}
	}
	return values
}

// unixNano is 0 for no time.
func unixNano(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}

type kind int

const (
	gauge          kind = iota
	counter             // of things
	secondsGauge        // its value comes in nanoseconds
	secondsCounter      // likewise
)

// observe is how a value of a metric is observed.
type observe func(observer metric.Observer, value uint64, with metric.ObserveOption)

// instrument makes the metric's instrument.
func (f figure) instrument(meter metric.Meter) (metric.Observable, observe, error) {
	unit, description := metric.WithUnit(f.unit), metric.WithDescription(f.description)
	switch f.kind {
	case secondsGauge:
		instrument, err := meter.Float64ObservableGauge(f.name, unit, description)
		return instrument, observeSeconds(instrument), err
	case secondsCounter:
		instrument, err := meter.Float64ObservableCounter(f.name, unit, description)
		return instrument, observeSeconds(instrument), err
	case gauge:
		instrument, err := meter.Int64ObservableGauge(f.name, unit, description)
		return instrument, observeThings(instrument), err
	}
	instrument, err := meter.Int64ObservableCounter(f.name, unit, description)
	return instrument, observeThings(instrument), err
}

func observeSeconds(instrument metric.Float64Observable) observe {
	return func(o metric.Observer, value uint64, with metric.ObserveOption) {
		o.ObserveFloat64(instrument, time.Duration(value).Seconds(), with)
	}
}

func observeThings(instrument metric.Int64Observable) observe {
	return func(o metric.Observer, value uint64, with metric.ObserveOption) {
		o.ObserveInt64(instrument, int64(value), with)
	}
}
