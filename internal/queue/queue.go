// Package queue decides whose turn it is to make a call: so many at once, and none during a pause,
// nor as long as somebody is held down after a failure.
package queue

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
)

// Clock is the time of pauses and of turns. It is never called under a lock.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

// Queue gives slots to those who want to make a call, in the order of their turns. It is safe for
// concurrent use. It has no goroutine of its own: whoever comes, goes or looks gives the slots that
// are free to whose turn it is.
type Queue struct {
	slots  int
	limit  time.Duration // of a turn, from its first slot
	clock  Clock
	pauses atomic.Uint64 // so far; added to under mu

	// mu guards what is below, and what every Turn says it does. Nothing of others is called under
	// it. Whenever it is free, no turn waits that could have a slot by the time that was last
	// looked at.
	mu      sync.Mutex
	turns   uint64        // that have come, so far
	held    int           // slots
	waiting order         // for a slot
	ranks   [ranks]int    // how many of those have each rank
	since   time.Time     // when the pause began, by the wall clock
	pause   time.Duration // 0 once it was seen to have ended
	watcher *Turn         // of those who wait, the one who sees to the pause's end for all

	// After a pause one turn gets a slot, the probe, and no other one until it gives that up.
	unproven bool  // from a pause until a probe has given its slot up, after a call
	probe    *Turn // nil if nobody probes
}

// New makes a Queue with this many slots. No turn waits for what ends later than limit after it has
// got its first one.
func New(slots int, limit time.Duration, clock Clock) *Queue {
	return &Queue{slots: slots, limit: limit, clock: clock}
}

// Stats returns how many turns have a slot, and how many wait for one. What has been given up and
// not been asked for again does neither.
func (q *Queue) Stats() (held, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.held, len(q.waiting)
}

// lock locks mu, and returns the time. A pause that began after the clock was read, and before mu
// was locked, would seem to lie in the future: then it is read again.
func (q *Queue) lock() (now time.Time) {
	for {
		pauses := q.pauses.Load()
		now = q.clock.Now()
		q.mu.Lock()
		if q.pauses.Load() == pauses {
			return now
		}
		q.mu.Unlock()
	}
}

// dispatch gives the free slots to whose turn it is. If there is nothing to give, it costs nothing,
// however many wait. mu is held.
func (q *Queue) dispatch(now time.Time) {
	if q.pausedFor(now) > 0 {
		q.watch()
		return
	}
	q.pause, q.watcher = 0, nil
	for len(q.waiting) > 0 && q.held < q.slots && q.probe == nil {
		next := heap.Pop(&q.waiting).(*Turn)
		next.state = holding
		q.ranks[next.rank]--
		q.held++
		if q.unproven {
			q.probe = next
		}
		next.wake()
	}
}

// push lets t wait. mu is held.
func (q *Queue) push(t *Turn) {
	t.state = waiting
	heap.Push(&q.waiting, t)
	q.ranks[t.rank]++
}

// watch sees to it that one of those who wait, if anybody does, looks when the pause ends. mu is
// held.
func (q *Queue) watch() {
	if len(q.waiting) == 0 {
		q.watcher = nil
		return
	}
	if q.watcher == nil || q.watcher.state != waiting {
		q.watcher = q.waiting[0]
		q.watcher.wake()
	}
}
