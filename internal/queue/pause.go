package queue

import (
	"container/heap"
	"fmt"
	"slices"
	"time"
)

// MaxPause is the longest pause. Then one turn finds out whether it has to be longer.
const MaxPause = 5 * time.Minute

// Pause lets nobody get a slot for d, or for [MaxPause] if that is less. Slots that are held stay
// so. It does not end a longer pause. When the pause has ended, one turn gets a slot. If that is
// given up after a call, and Pause was not called meanwhile, whatever d was, the others follow.
// Pause returns how long the pause is that begins; 0 if none does.
//
// Whoever waits, and has less time than the pause takes, fails with a [*PausedError].
func (q *Queue) Pause(d time.Duration) time.Duration {
	d = min(d, MaxPause)
	now := q.lock()
	defer q.mu.Unlock()
	q.probe = nil // whose call proves nothing then
	if d <= q.pausedFor(now) {
		q.dispatch(now)
		return 0
	}
	q.pauses.Add(1)
	q.since, q.pause = now.Round(0), d
	q.unproven = true
	q.refuse(now)
	q.dispatch(now)
	return d
}

// pausedFor returns how long the pause takes yet; 0 if there is none. A pause that begins in the
// future has ended: the clock was set back since, and nobody knows how long ago it began. mu is
// held.
func (q *Queue) pausedFor(now time.Time) time.Duration {
	elapsed := now.Sub(q.since)
	if elapsed < 0 {
		return 0
	}
	return max(q.pause-elapsed, 0)
}

// refuse fails whoever waits and has less time than the pause, which begins, takes. mu is held.
func (q *Queue) refuse(now time.Time) {
	err := &PausedError{Left: q.pause}
	q.waiting = slices.DeleteFunc(q.waiting, func(t *Turn) bool {
		if q.pause <= t.left(now) {
			return false
		}
		t.state, t.refused = idle, err
		q.ranks[t.rank]--
		t.wake()
		return true
	})
	for i, t := range q.waiting {
		t.index = i
	}
	heap.Init(&q.waiting)
}

// PausedError says that a pause lasts longer than a [Turn] may wait.
type PausedError struct {
	Age  time.Duration // how long ago the pause began
	Left time.Duration // of the pause
}

func (e *PausedError) Error() string { return fmt.Sprintf("paused for another %v", e.Left) }
