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
// Take, Try, GiveUp, Skip, Return, Sleep, Left and Elapsed are for one goroutine, the others for
// any. None of those others looks at the clock.
//
// The time for a turn is the Queue's limit, from its first slot on that it does not return. A clock
// that is set meanwhile may let somebody wait in vain, but never for longer.
type Turn struct {
	queue *Queue
	due   int64
	woken chan struct{} // has something in it if the turn, which waits, has to look; nil at first

	// What is below is guarded by queue.mu.
	rank      Rank
	came      uint64 // its number among those who came; a new one once it is raised
	state     state
	index     int          // in queue.waiting, while waiting
	refused   *PausedError // why it waits no more, until its goroutine knows
	withdrawn bool         // it gets no slot
	begun     bool         // it has a slot, or had one; only its own goroutine writes that
	since     time.Time    // when it began; likewise
	called    bool         // it has given a slot up after a call; likewise
	over      bool         // the end of the time for it has come; likewise

	// For its own goroutine.
	end <-chan time.Time // of the time for it, whatever the clock says; nil until it has begun
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

// Withdraw lets t never have a slot, unless it has begun. It reports whether that is so. The
// context of Take has to end then.
func (t *Turn) Withdraw() bool {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	if !t.begun && t.state != holding {
		t.withdrawn = true
	}
	return t.withdrawn
}

// Begun reports whether the turn has a slot, or had one that it did not return.
func (t *Turn) Begun() bool {
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	return t.begun
}

// ErrLate says that the time for a Turn has passed while it waited for a slot once more.
var ErrLate = errors.New("the time for this turn has passed")

// Take waits until it is the turn of t, and takes a slot, unless t has one. The error is the cause
// of ctx's end, at once a [*PausedError], or [ErrLate]. With an error, t has no slot.
func (t *Turn) Take(ctx context.Context) error {
	var late <-chan time.Time // nil until t has begun
	if t.begun && !t.isHeld() {
		late = t.late()
	}
	for ctx.Err() == nil {
		held, left, err := t.join()
		if err != nil {
			t.leave() // it may have got a slot when it was withdrawn
			return err
		}
		if held {
			t.time()
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
			t.setOver()
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
	t.Left() // which sees the end
	held, _, _ := t.join()
	if held {
		t.time()
	} else {
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
		q.push(t)
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
		q.ranks[t.rank]--
	case holding:
		q.held--
		if q.probe == t { // without a call it has proven nothing
			q.probe = nil
		}
	}
	t.state, t.refused = idle, nil
	q.dispatch(now)
}

// GiveUp lets the next one have the slot, if t has one, after a call was made in it.
func (t *Turn) GiveUp() { t.giveUp(true) }

// Skip is GiveUp if there was no call. That proves no pause to be over.
func (t *Turn) Skip() { t.giveUp(false) }

// Return is Skip as if t had not got the slot: unless there was a call in an earlier one, t has not
// begun.
func (t *Turn) Return() {
	t.Skip()
	t.queue.mu.Lock()
	defer t.queue.mu.Unlock()
	if !t.called {
		t.begun, t.end, t.over = false, nil, false
	}
}

func (t *Turn) giveUp(called bool) {
	q := t.queue
	now := q.lock()
	defer q.mu.Unlock()
	if t.state != holding {
		return
	}
	t.state = idle
	t.called = t.called || called
	q.held--
	if q.probe == t {
		q.probe = nil
		if called {
			q.unproven = false
		}
	}
	q.dispatch(now)
}

// wake lets t, which waits, look. If it has not begun to wait, it looks anyway. mu is held.
func (t *Turn) wake() {
	select {
	case t.woken <- struct{}{}:
	default:
	}
}
