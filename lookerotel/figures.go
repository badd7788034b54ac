package lookerotel

import (
	"go.opentelemetry.io/otel/metric"

	"github.com/lookerauth/lookerauth"
)

type stats = lookerauth.Stats

// figures has one for each field of [lookerauth.Stats].
//
// The number of users is a gauge, not a sum that goes up and down: several processes may hold a
// token of the same user.
var figures = []figure{
	{gauge, "lookerauth.users", "{user}",
		"Users whose token is kept.",
		func(s stats) uint64 { return uint64(s.Users) }},
	{counter, "lookerauth.logins", "{login}",
		"Successful logins.",
		func(s stats) uint64 { return s.Logins }},
	{counter, "lookerauth.failed_logins", "{login}",
		"Failed logins.",
		func(s stats) uint64 { return s.FailedLogins }},
	{counter, "lookerauth.shared_logins", "{caller}",
		"Callers that waited for a login which another caller had started.",
		func(s stats) uint64 { return s.SharedLogins }},
	{counter, "lookerauth.refreshes", "{login}",
		"Logins in the background that replaced a token before it expired.",
		func(s stats) uint64 { return s.Refreshes }},
	{counter, "lookerauth.rejections", "{token}",
		"Tokens invalidated because Looker rejected them, or through Invalidate.",
		func(s stats) uint64 { return s.Rejections }},
	{counter, "lookerauth.replays", "{request}",
		"Requests sent a second time after a 401.",
		func(s stats) uint64 { return s.Replays }},
	{counter, "lookerauth.evictions", "{user}",
		"Users pushed out by more recent ones.",
		func(s stats) uint64 { return s.Evictions }},
	{counter, "lookerauth.logouts", "{token}",
		"Tokens revoked at Looker.",
		func(s stats) uint64 { return s.Logouts }},
	{counter, "lookerauth.store_hits", "{token}",
		"Tokens taken from the Store.",
		func(s stats) uint64 { return s.StoreHits }},
	{counter, "lookerauth.store_errors", "{operation}",
		"Operations of the Store that failed.",
		func(s stats) uint64 { return s.StoreErrors }},
}

// figure is one field of [lookerauth.Stats], as a metric.
type figure struct {
	kind        kind
	name        string
	unit        string
	description string
	value       func(stats) uint64
}

type kind int

const (
	gauge kind = iota
	counter
)

// instrument makes the figure's instrument.
func (f figure) instrument(meter metric.Meter) (metric.Int64Observable, error) {
	unit, description := metric.WithUnit(f.unit), metric.WithDescription(f.description)
	if f.kind == gauge {
		return meter.Int64ObservableGauge(f.name, unit, description)
	}
	return meter.Int64ObservableCounter(f.name, unit, description)
}
