package queue

import (
	"container/heap"
	"context"
	"time"
)

// Turn is a place in a [Queue]. It is taken for each call, and given up in between, so that nobody
// has a slot while waiting for something else. Whoever takes it again is before those who came
// later.
//
// Take, Try, GiveUp and Sleep are for one goroutine, the others for any. None of those others looks
// at the clock.
//
// The time for a turn is the Queue's limit. It counts from [Turn.Begun], and ends with the contexts
// of Take and Sleep: it is for a timer of the caller's to end them. The turn itself only refuses to
// wait in vain. So a clock that is set in the meantime may let somebody wait in vain, but neither
// adds to the time nor takes from it.
type Turn struct {
	queue *Queue
	due   int64
	begun chan struct{} // closed when it first gets a slot
	woken chan struct{} // has something in it if the turn, which waits, has to look; nil at first

	// What is below is guarded by queue.mu.
	rank    Rank
	came    uint64 // the how-manieth; what it is by, among those who came
	state   state
	index   int          // in queue.waiting, while waiting
	refused *PausedError // why it waits no more, until its goroutine knows
	since   time.Time    // when it began; only its own goroutine writes that
}

// state is whether a Turn has a slot.
//
//	idle ──▶ waiting ──▶ holding
//	  ▲         │           │
//	  └─────────┴───────────┘ its context ended, or it was refused; it was given up
type state uint8

const (
	idle state = iota
	waiting
	holding
)

// Turn returns a place. Among those of one rank it is the order of coming that counts; but among
// Unwaited ones first that of due, the time in nanoseconds at which the call comes too late.
func (q *Queue) Turn(rank Rank, due int64) *Turn {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turns++
	return &Turn{queue: q, due: due, begun: make(chan struct{}), rank: rank, came: q.turns}
}

// Raise makes an Unwaited turn a Waited one, which comes now. It does nothing to others.
func (t *Turn) Raise() {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.rank != Unwaited {
		return
	}
	q.turns++
	t.rank, t.came = Waited, q.turns
	if t.state == waiting {
		heap.Fix(&q.waiting, t.index)
	}
}

// Waited reports whether somebody waits for the turn: whether it is not Unwaited.
func (t *Turn) Waited() bool {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	return t.rank != Unwaited
}

// Ahead returns how many get a slot before the turn does, as it looks now; 0 if it waits for none.
func (t *Turn) Ahead() int {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	if t.state != waiting {
		return 0
	}
	n := 0
	for _, other := range t.queue.waiting {
		if other.before(t) {
			n++
		}
	}
	return n
}

// Begun returns a channel that is closed when the turn first gets a slot.
func (t *Turn) Begun() <-chan struct{} { return t.begun }

// Take waits until it is the turn of t, and takes a slot, unless t has one. The error is the cause
// of ctx's end, or at once a [*PausedError]. With an error, t has no slot.
func (t *Turn) Take(ctx context.Context) error {
	for ctx.Err() == nil {
		held, left, err := t.join()
		if held || err != nil {
			return err
		}
		var over <-chan time.Time // of the pause; nil if another turn waits for that
		if left > 0 {
			over = t.queue.clock.After(left)
		}
		select {
		case <-t.woken:
		case <-over:
		case <-ctx.Done(): // it counts, also if there is a slot at the same moment
		}
	}
	t.leave()
	return context.Cause(ctx)
}

// Try is Take if nothing has to be waited for, and reports whether that was so.
func (t *Turn) Try() bool {
	held, _, _ := t.join()
	if !held {
		t.leave()
	}
	return held
}

// join puts t into the queue, unless it is there, and reports whether it has a slot. If it has to
// wait for a pause's end, for itself and others, left is when that is.
func (t *Turn) join() (held bool, left time.Duration, err error) {
	q := t.queue
	now := q.lock()
	defer q.mu.Unlock()
	if refused := t.refused; refused != nil {
		t.refused = nil
		return false, 0, refused
	}
	if t.state == idle {
		if left := q.pausedFor(now); left > t.left(now) {
			return false, 0, &PausedError{left}
		}
		t.state = waiting
		heap.Push(&q.waiting, t)
	}
	q.dispatch(now)
	if t.state == holding {
		t.begin(now)
		return true, 0, nil
	}
	if t.woken == nil {
		t.woken = make(chan struct{}, 1)
	}
	if q.watcher == t {
		left = q.pausedFor(now)
	}
	return false, left, nil
}

// leave takes t out of the queue. A slot that it has been given is the next one's.
func (t *Turn) leave() {
	q := t.queue
	now := q.lock()
	defer q.mu.Unlock()
	switch t.state {
	case waiting:
		heap.Remove(&q.waiting, t.index)
	case holding:
		q.held--
		if q.probe == t { // without a call it has proven nothing
			q.probe = nil
		}
	}
	t.state, t.refused = idle, nil
	q.dispatch(now)
}

// GiveUp lets the next one have the slot, if t has one.
func (t *Turn) GiveUp() {
	q := t.queue
	now := q.lock()
	defer q.mu.Unlock()
	if t.state != holding {
		return
	}
	t.state = idle
	q.held--
	if q.probe == t {
		q.unproven, q.probe = false, nil
	}
	q.dispatch(now)
}

// Sleep waits for d. A slot should have been given up. It reports whether that was possible before
// ctx ended, and at once that it is not if the time for the turn ends before.
func (t *Turn) Sleep(ctx context.Context, d time.Duration) bool {
	if d > t.left(t.queue.clock.Now()) {
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
	if t.hasBegun() {
		return
	}
	t.since = now
	close(t.begun)
}

func (t *Turn) hasBegun() bool {
	select {
	case <-t.begun:
		return true
	default:
		return false
	}
}

// left is what is left of the time for t: all of it until it has begun. So it is if the clock shows
// a time before it began, or after it has ended, when nobody asks: the clock was set since, and
// nobody knows how long ago that was. mu is held, or the caller is t's goroutine.
func (t *Turn) left(now time.Time) time.Duration {
	limit := t.queue.limit
	if !t.hasBegun() {
		return limit
	}
	elapsed := now.Sub(t.since)
	if elapsed < 0 || elapsed > limit {
		return limit
	}
	return limit - elapsed
}

// wake lets t, which waits, look. If it has not begun to wait, it looks anyway. mu is held.
func (t *Turn) wake() {
	select {
	case t.woken <- struct{}{}:
	default:
	}
}
