// Package incidents has nothing but tests: what goes wrong with logging in is played on a simulated
// service of 200 and of 3,000 users, in virtual time. Each incident must be told as
// docs/operations.md says: by a log line, a figure and [lookerauth.Cache.Health], by its alert rule
// of lookerotel/alerts.yml and no other, in a few lines whatever the number of users, and it must
// be told when it is over. The figures of harm must be what callers got.
//
// The rules are evaluated by Prometheus' own engine, over what OpenTelemetry's exporter for
// Prometheus shows of the Caches every 15 seconds. The module is one of its own, so that none of
// that becomes a dependency of lookerauth.
package incidents
