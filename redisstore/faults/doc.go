// Package faults tests a fleet whose connections to Redis are bad. It is a module of its own, as
// the proxy that spoils them depends on much.
package faults
