// Package faults tests a fleet under faults: bad connections to Redis, a failover, a slot that
// moves, processes that are killed, clocks that are apart. What four processes do is recorded
// meanwhile, and checked against a model of what a fleet promises. TestHour watches what processes
// take, which are behind nginx. It is a module of its own, as the proxy that spoils connections
// depends on much.
package faults
