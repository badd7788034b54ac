package lookerauth

import "time"

// Clock is the time a [Cache] lives in. The *clock.Mock of benbjohnson/clock is one, for tests. Its
// methods are called from several goroutines at once, and never under a lock. While it stands
// still, so does what waits: the next try of a login or logout, [Cache.Close], LoginTimeout.
// No method will be added.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

// wallTime is the clock's time without a monotonic reading, which stops while a machine sleeps.
func wallTime(c Clock) time.Time { return c.Now().Round(0) }

// within reports whether what happened elapsed ago is less than d ago. What lies in the future is
// not: the clock was set back since, and nobody knows how long ago it was.
func within(elapsed, d time.Duration) bool { return elapsed >= 0 && elapsed < d }
