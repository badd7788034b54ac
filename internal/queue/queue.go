// Package queue decides whose turn it is to make a call: so many at once, and none during a pause,
// nor as long as somebody is held down after a failure.
package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Clock is the time of pauses.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

// Queue gives turns to those who want to make a call. It is safe for concurrent use.
type Queue struct {
	clock Clock
	slots *semaphore.Weighted

	mu    sync.Mutex // guards what is below
	since time.Time  // when the pause began, by the wall clock
	pause time.Duration
}

// New makes a Queue for this many calls at once.
func New(slots int, clock Clock) *Queue {
	return &Queue{clock: clock, slots: semaphore.NewWeighted(int64(slots))}
}

// now is the wall clock's time. It is read before mu is taken, as the Clock is the user's.
func (q *Queue) now() time.Time { return q.clock.Now().Round(0) }

// Pause lets nobody have a turn for d. It does not end a longer pause.
func (q *Queue) Pause(d time.Duration) {
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if d > q.pausedFor(now) {
		q.since, q.pause = now, d
	}
}

// Paused returns how long the pause takes yet; 0 if there is none.
func (q *Queue) Paused() time.Duration {
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pausedFor(now)
}

// pausedFor is Paused. A pause that begins in the future has ended: the clock was set back since,
// and nobody knows how long ago it began. mu is held.
func (q *Queue) pausedFor(now time.Time) time.Duration {
	elapsed := now.Sub(q.since)
	if elapsed < 0 {
		return 0
	}
	return max(q.pause-elapsed, 0)
}

// Turn is one caller's place. It is taken for each call, and given up in between, so that
// nobody holds a slot while waiting. It is for one goroutine.
type Turn struct {
	queue *Queue
	until time.Time // nothing is waited for that would end later
	held  bool      // it has a slot
}

// Turn returns a place for calls until then.
func (q *Queue) Turn(until time.Time) *Turn { return &Turn{queue: q, until: until} }

// PausedError says that a pause lasts longer than a Turn may wait.
type PausedError struct {
	Left time.Duration // of the pause
}

func (e *PausedError) Error() string { return fmt.Sprintf("paused for another %v", e.Left) }

// Try is Take if nothing has to be waited for, and reports whether that was so.
func (t *Turn) Try() bool {
	t.held = t.held || t.queue.Paused() == 0 && t.queue.slots.TryAcquire(1)
	return t.held
}

// Take waits until there is no pause and a slot is free, which it takes, unless it has one. The
// error is the cause of ctx's end, or at once a *PausedError.
func (t *Turn) Take(ctx context.Context) error {
	for !t.held {
		for left := t.queue.Paused(); left > 0; left = t.queue.Paused() {
			if t.Sleep(ctx, left) {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return &PausedError{left}
		}
		if err := t.queue.slots.Acquire(ctx, 1); err != nil {
			return context.Cause(ctx)
		}
		t.held = true
		if t.queue.Paused() > 0 { // it began while this turn was waited for
			t.GiveUp()
		}
	}
	return nil
}

// GiveUp lets the next one have the slot, if this turn has one.
func (t *Turn) GiveUp() {
	if t.held {
		t.held = false
		t.queue.slots.Release(1)
	}
}

// Sleep waits for d, without a slot. It reports whether that was possible before ctx and the
// time for this turn end.
func (t *Turn) Sleep(ctx context.Context, d time.Duration) bool {
	if t.queue.clock.Now().Add(d).After(t.until) {
		return false
	}
	select {
	case <-t.queue.clock.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
