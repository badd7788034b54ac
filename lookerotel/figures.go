package lookerotel

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/lookerauth/lookerauth"
)

type stats = lookerauth.Stats

// figures has one for each field of [lookerauth.Stats], but that all logins are one.
//
// The number of users is a gauge, not a sum that goes up and down: several processes may hold a
// token of the same user.
var figures = []figure{
	{gauge, "lookerauth.users", "{user}",
		"Users whose token is kept.",
		only(func(s stats) uint64 { return uint64(s.Users) })},
	{gauge, "lookerauth.max_users", "{user}",
		"Users whose token can be kept at once.",
		only(func(s stats) uint64 { return uint64(s.MaxUsers) })},
	{gauge, "lookerauth.logins_in_flight", "{login}",
		"Logins that have one of the slots now.",
		only(func(s stats) uint64 { return uint64(s.LoginsInFlight) })},
	{gauge, "lookerauth.logins_queued", "{login}",
		"Logins that wait for a slot now, or for the end of a pause.",
		only(func(s stats) uint64 { return uint64(s.LoginsQueued) })},
	{counter, "lookerauth.logins", "{login}",
		"Logins that have ended.",
		logins()},
	{seconds, "lookerauth.login_time", "s",
		"Time of all logins together, each from its turn to its end.",
		only(func(s stats) uint64 { return uint64(s.LoginTime) })},
	{counter, "lookerauth.waits_served", "{caller}",
		"Callers who had to wait for a login, and got its token.",
		only(func(s stats) uint64 { return s.WaitsServed })},
	{counter, "lookerauth.waits_failed", "{caller}",
		"Callers who got the error of a login.",
		only(func(s stats) uint64 { return s.WaitsFailed })},
	{counter, "lookerauth.waits_left", "{caller}",
		"Callers whose context ended while they waited for a login.",
		only(func(s stats) uint64 { return s.WaitsLeft })},
	{counter, "lookerauth.joins", "{caller}",
		"Callers who got the result of a login under way when they came.",
		only(func(s stats) uint64 { return s.Joins })},
	{counter, "lookerauth.rejections", "{token}",
		"Tokens invalidated because Looker rejected them, or through Invalidate.",
		only(func(s stats) uint64 { return s.Rejections })},
	{counter, "lookerauth.replays", "{request}",
		"Requests sent a second time after a 401.",
		only(func(s stats) uint64 { return s.Replays })},
	{counter, "lookerauth.evictions", "{user}",
		"Users pushed out by more recent ones.",
		only(func(s stats) uint64 { return s.Evictions })},
	{counter, "lookerauth.live_evictions", "{user}",
		"Users pushed out whose token could still be used.",
		only(func(s stats) uint64 { return s.LiveEvictions })},
	{counter, "lookerauth.logouts", "{token}",
		"Tokens revoked at Looker.",
		only(func(s stats) uint64 { return s.Logouts })},
	{counter, "lookerauth.failed_logouts", "{token}",
		"Tokens that could not be revoked at Looker.",
		only(func(s stats) uint64 { return s.FailedLogouts })},
	{counter, "lookerauth.store_hits", "{token}",
		"Tokens taken from the Store.",
		only(func(s stats) uint64 { return s.StoreHits })},
	{counter, "lookerauth.store_errors", "{operation}",
		"Operations of the Store that failed.",
		only(func(s stats) uint64 { return s.StoreErrors })},
	{counter, "lookerauth.store_unopened", "{value}",
		"Values from the Store that did not open.",
		only(func(s stats) uint64 { return s.StoreUnopened })},
	{counter, "lookerauth.store_ahead", "{token}",
		"Tokens from the Store whose login lies in the future.",
		only(func(s stats) uint64 { return s.StoreAhead })},
	{gauge, "lookerauth.store_left_alone", "1",
		"Whether the Store is left alone, as it has just failed.",
		only(func(s stats) uint64 { return bit(s.StoreLeftAlone) })},
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
	of         func(stats) uint64
}

// bit is 1 for true.
func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// only is the value of a metric that has no other.
func only(of func(stats) uint64) []value { return []value{{nil, of}} }

// logins are the values of all [lookerauth.LoginStats], those of failed logins with an error.type.
func logins() (values []value) {
	for _, who := range []struct {
		identity string
		of       func(stats) lookerauth.LoginStats
	}{
		{"service_account", func(s stats) lookerauth.LoginStats { return s.ServiceAccount }},
		{"user", func(s stats) lookerauth.LoginStats { return s.UserLogins }},
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
			attributes := []attribute.KeyValue{
				attribute.String("lookerauth.identity", who.identity),
				attribute.String("lookerauth.trigger", why.trigger),
			}
			granted := func(s stats) uint64 { return why.granted(who.of(s)) }
			values = append(values, value{attributes, granted})
			for _, reason := range reasons {
				failed := func(s stats) uint64 { return reason.of(why.failed(who.of(s))) }
				errorType := attribute.String("error.type", reason.errorType)
				with := append(attributes[:len(attributes):len(attributes)], errorType)
				values = append(values, value{with, failed})
			}
		}
	}
	return values
}

// reasons are the fields of [lookerauth.LoginFailures].
var reasons = []struct {
	errorType string
	of        func(lookerauth.LoginFailures) uint64
}{
	{"refused", func(f lookerauth.LoginFailures) uint64 { return f.Refused }},
	{"not_found", func(f lookerauth.LoginFailures) uint64 { return f.NotFound }},
	{"rate_limited", func(f lookerauth.LoginFailures) uint64 { return f.RateLimited }},
	{"unavailable", func(f lookerauth.LoginFailures) uint64 { return f.Unavailable }},
	{"_OTHER", func(f lookerauth.LoginFailures) uint64 { return f.Other }}, // OpenTelemetry's word
}

type kind int

const (
	gauge   kind = iota
	counter      // of things
	seconds      // a counter; its value comes in nanoseconds
)

// observe is how a value of a metric is observed.
type observe func(observer metric.Observer, value uint64, with metric.ObserveOption)

// instrument makes the metric's instrument.
func (f figure) instrument(meter metric.Meter) (metric.Observable, observe, error) {
	unit, description := metric.WithUnit(f.unit), metric.WithDescription(f.description)
	if f.kind == seconds {
		instrument, err := meter.Float64ObservableCounter(f.name, unit, description)
		return instrument, func(o metric.Observer, value uint64, with metric.ObserveOption) {
			o.ObserveFloat64(instrument, time.Duration(value).Seconds(), with)
		}, err
	}
	var instrument metric.Int64Observable
	var err error
	if f.kind == gauge {
		instrument, err = meter.Int64ObservableGauge(f.name, unit, description)
	} else {
		instrument, err = meter.Int64ObservableCounter(f.name, unit, description)
	}
	return instrument, func(o metric.Observer, value uint64, with metric.ObserveOption) {
		o.ObserveInt64(instrument, int64(value), with)
	}, err
}
