// Package faults tests a fleet under faults: bad connections to Redis, a failover, a slot that moves,
// processes that are killed, and clocks that are apart. What four processes do meanwhile is recorded,
// and checked against a model of what a fleet promises. It is a module of its own, as the proxy that
// spoils connections depends on much.
package faults
