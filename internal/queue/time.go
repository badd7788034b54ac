package queue

import (
	"context"
	"time"
)

// Left returns what is left of the time for the turn.
func (t *Turn) Left() time.Duration {
	select {
	case <-t.end:
		t.setOver()
	default:
	}
	return t.left(t.queue.clock.Now())
}

// Elapsed returns for how long the turn has been under way, up to all the time for it: what the
// clock says beyond that, or below 0, is from a step. It is 0 if the turn has not begun.
func (t *Turn) Elapsed() time.Duration {
	if !t.begun {
		return 0
	}
	return min(max(t.queue.clock.Now().Sub(t.since), 0), t.queue.limit)
}

// Sleep waits for d. A slot should have been given up. It reports whether that was possible before
// ctx ended, and at once that it is not if the time for the turn ends before.
func (t *Turn) Sleep(ctx context.Context, d time.Duration) bool {
	if d > t.Left() {
		return false
	}
	select {
	case <-t.queue.clock.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// begin lets the time for t begin, unless it has. mu is held.
func (t *Turn) begin(now time.Time) {
	if !t.begun {
		t.begun, t.since = true, now
	}
}

// time has the end of the time for t come, whatever becomes of the clock, once it has begun.
func (t *Turn) time() {
	if t.end == nil {
		t.end = t.queue.clock.After(t.queue.limit)
	}
}

// setOver says that the end of the time for t has come. A pause looks at that of all who wait.
func (t *Turn) setOver() {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	t.over = true
}

// late ends when the time for t does.
func (t *Turn) late() <-chan time.Time {
	if t.Left(); !t.over {
		return t.end
	}
	over := make(chan time.Time)
	close(over)
	return over
}

// left is what is left of the time for t: all of it until it has begun. It is also all of it if the
// clock says that it has not begun, or that its end has passed, and that has not come: the clock
// was set since, and nobody knows by how much. mu is held, or the caller is t's goroutine.
func (t *Turn) left(now time.Time) time.Duration {
	limit := t.queue.limit
	elapsed := now.Sub(t.since)
	switch {
	case !t.begun:
		return limit
	case t.over:
		return 0
	case elapsed < 0 || elapsed > limit:
		return limit
	}
	return limit - elapsed
}
