package queue

import (
	"container/heap"
	"context"
	"errors"
	"time"
)

// Turn is a place in a [Queue]. It is taken for each call, and given up in between, so that nobody
// has a slot while waiting for something else. Whoever takes it again is before those who came
// later.
//
// Take, Try, GiveUp, Sleep, Left and Elapsed are for one goroutine, the others for any. None of
// those others looks at the clock.
//
// The time for a turn is the Queue's limit, from its first slot on. A clock that is set meanwhile
// may let somebody wait in vain, but never for longer.
type Turn struct {
	queue *Queue
	due   int64
	woken chan struct{} // has something in it if the turn, which waits, has to look; nil at first

	// What is below is guarded by queue.mu.
	rank      Rank
	raised    bool   // it was Unwaited
	came      uint64 // its number among those who came; a new one once it is raised
	state     state
	index     int          // in queue.waiting, while waiting
	refused   *PausedError // why it waits no more, until its goroutine knows
	withdrawn bool         // it gets no slot
	begun     bool         // it has or had a slot; only its own goroutine writes that
	since     time.Time    // when it began; likewise
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

// Turn returns a place. Within a rank, those who came first are first. But of those that are
// Unwaited the first is the one with the lowest due: the time, in nanoseconds, at which its call
// would come too late. Others have no use for due.
func (q *Queue) Turn(rank Rank, due int64) *Turn {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turns++
	return &Turn{queue: q, due: due, rank: rank, came: q.turns}
}

// Raise makes an Unwaited turn a Waited one, which comes now. It does nothing to others.
func (t *Turn) Raise() {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	if t.rank == Unwaited {
		t.queue.turns++
		t.raised, t.came = true, t.queue.turns
		t.move(Waited)
	}
}

// Lower makes a turn that was raised an Unwaited one again. It does nothing to others.
func (t *Turn) Lower() {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	if t.raised {
		t.raised = false
		t.move(Unwaited)
	}
}

// move gives t another rank. mu is held.
func (t *Turn) move(rank Rank) {
	t.rank = rank
	if t.state == waiting {
		heap.Fix(&t.queue.waiting, t.index)
	}
}

// Withdraw lets t never have a slot, unless it has had one or has one now. It reports whether that
// is so. The context of Take has to end then.
func (t *Turn) Withdraw() bool {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	t.withdrawn = t.state != holding && !t.begun
	return t.withdrawn
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

// Begun reports whether the turn has or had a slot.
func (t *Turn) Begun() bool {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	return t.begun
}

// Left returns what is left of the time for the turn.
func (t *Turn) Left() time.Duration { return t.left(t.queue.clock.Now()) }

// Elapsed returns for how long the turn has been under way, up to all the time for it: what the
// clock says beyond that, or below 0, is from a step. It is 0 if the turn has not begun.
func (t *Turn) Elapsed() time.Duration {
	if !t.begun {
		return 0
	}
	return min(max(t.queue.clock.Now().Sub(t.since), 0), t.queue.limit)
}

// ErrLate says that the time for a Turn has passed while it waited for a slot once more.
var ErrLate = errors.New("the time for this turn has passed")

// Take waits until it is the turn of t, and takes a slot, unless t has one. The error is the cause
// of ctx's end, at once a [*PausedError], or [ErrLate]. With an error, t has no slot.
func (t *Turn) Take(ctx context.Context) error {
	var late <-chan time.Time // nil until t has begun
	if t.begun && !t.isHeld() {
		late = t.queue.clock.After(t.Left())
	}
	for ctx.Err() == nil {
		held, left, err := t.join()
		if err != nil {
			t.leave() // it may have got a slot when it was withdrawn
			return err
		}
		if held {
			return nil
		}
		var over <-chan time.Time // of the pause; nil if another turn waits for that
		if left > 0 {
			over = t.queue.clock.After(left)
		}
		select {
		case <-t.woken:
		case <-over:
		case <-late:
			if held, _, _ := t.join(); held { // at the same moment
				return nil
			}
			t.leave()
			return ErrLate
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

// errWithdrawn is what a Take gets whose context has not ended yet.
var errWithdrawn = errors.New("the turn was withdrawn")

func (t *Turn) isHeld() bool {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	return t.state == holding
}

// join puts t into the queue, unless it is there, and reports whether it has a slot. If t has to
// see to a pause's end, for all who wait, left is how long that takes yet.
func (t *Turn) join() (held bool, left time.Duration, err error) {
	q := t.queue
	now := q.lock()
	defer q.mu.Unlock()
	if t.withdrawn {
		return false, 0, errWithdrawn
	}
	if refused := t.refused; refused != nil {
		t.refused = nil
		return false, 0, refused
	}
	if t.state == idle {
		if left := q.pausedFor(now); left > t.left(now) {
			return false, 0, &PausedError{now.Sub(q.since), left}
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
	if !t.begun {
		t.begun, t.since = true, now
	}
}

// left is what is left of the time for t: all of it until it has begun. It is also all of it if by
// the clock it has not begun or has ended, when nobody would ask: the clock was set since, and
// nobody knows how long ago that was. mu is held, or the caller is t's goroutine.
func (t *Turn) left(now time.Time) time.Duration {
	limit := t.queue.limit
	if !t.begun {
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
