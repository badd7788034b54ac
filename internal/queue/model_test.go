package queue_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/internal/queue"
)

// model is a Queue as its documentation has it, without a thought of speed. Its time is the
// bubble's.
type model struct {
	slots    int
	places   []*place // those that are not idle
	end      time.Time
	unproven bool
	probe    *place
	came     int
}

// place is a Turn, and what the model says of it.
type place struct {
	turn   *queue.Turn
	leave  func()
	result chan error // of Take, while it runs

	rank   queue.Rank
	due    int64
	came   int
	begun  time.Time
	called bool
	late   time.Time // when it waits no more, if it has begun before
	has    bool      // a slot
	want   error     // of Take, once it has failed; errors.ErrUnsupported stands for a PausedError
}

func (p *place) before(other *place) bool {
	if p.rank == other.rank && p.rank == queue.Unwaited && p.due != other.due {
		return p.due < other.due
	}
	return p.rank < other.rank || p.rank == other.rank && p.came < other.came
}

// left is what p may wait for.
func (p *place) left() time.Duration {
	if p.begun.IsZero() {
		return limit
	}
	return max(limit-time.Since(p.begun), 0)
}

func (m *model) held() (n int) {
	for _, p := range m.places {
		if p.has {
			n++
		}
	}
	return n
}

// next is the first of those who wait; nil if nobody does.
func (m *model) next() (next *place) {
	for _, p := range m.places {
		if !p.has && (next == nil || p.before(next)) {
			next = p
		}
	}
	return next
}

// settle gives the free slots away.
func (m *model) settle() {
	for !time.Now().Before(m.end) && m.held() < m.slots && m.probe == nil {
		next := m.next()
		if next == nil {
			return
		}
		next.has = true
		if next.begun.IsZero() {
			next.begun = time.Now()
		}
		if m.unproven {
			m.probe = next
		}
	}
}

func (m *model) remove(p *place) {
	m.places = slices.DeleteFunc(m.places, func(other *place) bool { return other == p })
	p.has = false
}

func (m *model) take(p *place) {
	if time.Until(m.end) > p.left() {
		p.want = errors.ErrUnsupported
		return
	}
	m.places = append(m.places, p)
	p.late = time.Now().Add(p.left())
}

func (m *model) try(p *place) bool {
	m.take(p)
	m.settle()
	if !p.has {
		m.remove(p)
		p.want = nil
	}
	return p.has
}

// sleep sees the end of a pause meanwhile, and whose time has passed.
func (m *model) sleep(d time.Duration) {
	end := time.Now().Add(d)
	for {
		next := end
		if m.end.After(time.Now()) && m.end.Before(next) {
			next = m.end
		}
		for _, p := range m.places {
			if p.waitsAgain() && p.late.Before(next) {
				next = p.late
			}
		}
		time.Sleep(time.Until(next))
		m.settle()
		m.expire()
		if !next.Before(end) {
			return
		}
	}
}

// expire fails those who wait again whose time has passed.
func (m *model) expire() {
	for _, p := range slices.Clone(m.places) {
		if p.waitsAgain() && !p.late.After(time.Now()) {
			m.remove(p)
			p.want = queue.ErrLate
		}
	}
}

// waitsAgain reports whether p, which had a slot, waits for another one.
func (p *place) waitsAgain() bool { return !p.has && !p.begun.IsZero() }

func (m *model) giveUp(p *place, called bool) {
	m.remove(p)
	p.called = p.called || called
	if m.probe == p {
		m.unproven, m.probe = !called, nil
	}
}

// giveBack is giveUp without a call, as if p had not had the slot.
func (m *model) giveBack(p *place) {
	m.giveUp(p, false)
	if !p.called {
		p.begun = time.Time{}
	}
}

func (m *model) raise(p *place) {
	if p.rank == queue.Unwaited {
		m.came++
		p.rank, p.came = queue.Waited, m.came
	}
}

func (m *model) lower(p *place) {
	if p.rank == queue.Waited {
		p.rank = queue.Unwaited
	}
}

func (m *model) pause(d time.Duration) {
	d = min(d, queue.MaxPause)
	if m.unproven {
		m.probe = nil
	}
	if d <= 0 || d <= time.Until(m.end) {
		return
	}
	m.end, m.unproven, m.probe = time.Now().Add(d), true, nil
	for _, p := range slices.Clone(m.places) {
		if !p.has && d > p.left() {
			m.remove(p)
			p.want = errors.ErrUnsupported
		}
	}
}

func (m *model) leave(p *place) {
	m.remove(p)
	p.want = errLeft
}

// checkPlace fails if what became of p is not what the model says.
func checkPlace(t *testing.T, m *model, p *place) {
	t.Helper()
	waits := slices.Contains(m.places, p) && !p.has
	want := queue.Place{Waits: waits, Paused: waits && time.Now().Before(m.end)}
	for _, other := range m.places {
		if waits && other != p && (other.has || other.rank <= p.rank) {
			want.Ahead++
		}
	}
	if got := p.turn.Place(); got != want {
		t.Errorf("its place is %+v, want %+v", got, want)
	}
	checkBegun(t, p.turn, !p.begun.IsZero())
	if p.result == nil {
		return
	}
	select {
	case err := <-p.result:
		paused := errors.As(err, new(*queue.PausedError))
		if waits || paused != (p.want == errors.ErrUnsupported) || !paused && err != p.want {
			t.Errorf("Take returned %v, want %v, it waits: %v", err, p.want, waits)
		}
		p.result, p.want = nil, nil
	default:
		if !waits {
			t.Error("Take has not returned")
		}
	}
}

func TestQueueBehavesAsItsModel(t *testing.T) {
	for seed := range uint64(60) {
		slots := 1 + int(seed%4)
		simulate(t, slots, func(t *testing.T, q *queue.Queue, _ *clock) {
			random := rand.New(rand.NewPCG(seed, 0))
			m := &model{slots: slots}
			var all []*place
			for range 300 {
				step(t, random, q, m, &all)
				synctest.Wait()
				m.settle()
				m.expire()
				for _, p := range all {
					checkPlace(t, m, p)
				}
				checkStats(t, q, m.held(), len(m.places)-m.held())
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			for len(m.places) > 0 {
				for _, p := range slices.Clone(m.places) {
					if p.has {
						m.giveUp(p, true)
						p.turn.GiveUp()
					}
				}
				m.sleep(limit)
				synctest.Wait()
				m.settle()
			}
			checkStats(t, q, 0, 0)
		})
	}
}

// step does one thing at random, at the Queue and its model.
func step(t *testing.T, random *rand.Rand, q *queue.Queue, m *model, all *[]*place) {
	if len(*all) == 0 || random.IntN(4) == 0 {
		if len(*all) >= 16 { // few, as each does more then
			isIdle := func(p *place) bool { return !slices.Contains(m.places, p) }
			*all = slices.DeleteFunc(*all, isIdle)
		}
		m.came++
		p := &place{rank: queue.Rank(random.IntN(3)), due: random.Int64N(5), came: m.came}
		p.turn = q.Turn(p.rank, p.due)
		*all = append(*all, p)
	}
	p := (*all)[random.IntN(len(*all))]
	idle := !slices.Contains(m.places, p)
	switch n := random.IntN(16); {
	case n == 0:
		d := time.Duration(random.Int64N(int64(2*limit))) * time.Duration(random.IntN(2))
		m.pause(d)
		q.Pause(d)
	case n < 3:
		m.sleep(time.Duration(random.Int64N(int64(limit))))
	case n == 3 && random.IntN(2) == 0:
		m.lower(p)
		p.turn.Lower()
	case n == 3:
		m.raise(p)
		p.turn.Raise()
	case n == 4 && !idle && !p.has:
		m.leave(p)
		p.leave()
	case n == 5 && idle:
		if got, want := p.turn.Try(), m.try(p); got != want {
			t.Errorf("Try returned %v", got)
		}
	case n < 10:
		has := func(p *place) bool { return p.has }
		if i := slices.IndexFunc(m.places, has); i >= 0 { // the one who has it for longest
			p = m.places[i]
			switch n {
			case 6:
				m.giveUp(p, false)
				p.turn.Skip()
			case 7:
				m.giveBack(p)
				p.turn.Return()
			default:
				m.giveUp(p, true)
				p.turn.GiveUp()
			}
		}
	case idle:
		m.take(p)
		ctx, cancel := context.WithCancelCause(t.Context())
		p.leave = func() { cancel(errLeft) }
		p.result = make(chan error, 1)
		go func() { p.result <- p.turn.Take(ctx) }()
	}
}
