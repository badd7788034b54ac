package lookerauth_test

import (
	"sync"
	"time"
)

// synctestEpoch is when time starts in a bubble.
var synctestEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// steppedClock is the time package's clock, set back or forward.
type steppedClock struct {
	mu     sync.Mutex
	offset time.Duration // guarded by mu
}

func (c *steppedClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *steppedClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// slowClock is a clock that takes ten times as long as the simulated one.
type slowClock struct{}

func (slowClock) Now() time.Time {
	return synctestEpoch.Add(time.Since(synctestEpoch) / 10)
}

func (slowClock) After(d time.Duration) <-chan time.Time { return time.After(10 * d) }

// fuzzClock stands still, and what waits for it waits for ever.
type fuzzClock struct{}

func (fuzzClock) Now() time.Time                       { return synctestEpoch }
func (fuzzClock) After(time.Duration) <-chan time.Time { return nil }
