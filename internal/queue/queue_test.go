package queue_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth/internal/queue"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent")) // Go's own, on js
}

const limit = time.Minute // of the turns in tests

var errLeft = errors.New("left")

// clock is the time of a synctest bubble, set back or forward.
type clock struct {
	t      *testing.T
	offset time.Duration
	onNow  func()       // called before Now returns, once; may be nil
	timers atomic.Int64 // that After has made
}

func (c *clock) Now() time.Time {
	now := time.Now().Add(c.offset)
	if f := c.onNow; f != nil {
		c.onNow = nil
		f()
	}
	return now
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	if d <= 0 {
		c.t.Errorf("it waits for %v", d)
		return nil // rather than let it spin
	}
	c.timers.Add(1)
	return time.After(d)
}

// simulate runs test in a bubble of simulated time, with a Queue of this many slots. It fails if
// the test leaves a goroutine behind.
func simulate(t *testing.T, slots int, test func(t *testing.T, q *queue.Queue, c *clock)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{t: t}
		test(t, queue.New(slots, limit, c), c)
	})
}

// newTurn returns a Turn that somebody waits for.
func newTurn(q *queue.Queue) *queue.Turn { return q.Turn(queue.Waited, 0) }

// taken takes a Turn.
func taken(t *testing.T, q *queue.Queue) *queue.Turn {
	t.Helper()
	held := newTurn(q)
	if err := held.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	return held
}

// taking takes a Turn in the background, and keeps it. The channel gets the error.
func taking(ctx context.Context, turn *queue.Turn) <-chan error {
	result := make(chan error, 1)
	go func() { result <- turn.Take(ctx) }()
	synctest.Wait()
	return result
}

// passing is taking, but that it gives the turn up at once.
func passing(ctx context.Context, turn *queue.Turn) <-chan error {
	result := make(chan error, 1)
	go func() {
		err := turn.Take(ctx)
		turn.GiveUp()
		result <- err
	}()
	synctest.Wait()
	return result
}

func checkWaits(t *testing.T, result <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-result:
		t.Errorf("it waits no more: %v", err)
	default:
	}
}

// checkAfter receives the error of taking, and fails if it does not come after d.
func checkAfter(t *testing.T, d time.Duration, result <-chan error) error {
	t.Helper()
	begin := time.Now()
	err := <-result
	if waited := time.Since(begin); waited != d {
		t.Errorf("it waited for %v, want %v", waited, d)
	}
	return err
}

func checkTurn(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("got %v, want a turn", err)
	}
}

func checkLeft(t *testing.T, err error) {
	t.Helper()
	if err != errLeft {
		t.Errorf("got %v, want the cause of the context's end", err)
	}
}

func checkStats(t *testing.T, q *queue.Queue, held, waiting int) {
	t.Helper()
	synctest.Wait()
	if h, w := q.Stats(); h != held || w != waiting {
		t.Errorf("%d have a slot and %d wait, want %d and %d", h, w, held, waiting)
	}
}

func TestSlotsBoundTheCallsAtOnce(t *testing.T) {
	for _, slots := range []int{1, 4} {
		simulate(t, slots, func(t *testing.T, q *queue.Queue, _ *clock) {
			begin := time.Now()
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					held := newTurn(q)
					checkTurn(t, held.Take(t.Context()))
					time.Sleep(time.Second)
					held.GiveUp()
				})
			}
			checkStats(t, q, slots, 20-slots)
			wg.Wait()
			checkStats(t, q, 0, 0)
			want := time.Duration(20/slots) * time.Second
			if took := time.Since(begin); took != want {
				t.Errorf("20 calls of a second, %d at once, took %v", slots, took)
			}
		})
	}
}

// line lets the turns wait, in this order. The result has those that got a slot, in that order.
func line(t *testing.T, turns ...*queue.Turn) *[]*queue.Turn {
	t.Helper()
	var got []*queue.Turn
	for _, turn := range turns {
		go func() {
			checkTurn(t, turn.Take(t.Context()))
			got = append(got, turn)
			turn.GiveUp()
		}()
		synctest.Wait()
	}
	return &got
}

// checkLine gives the only slot up, and fails if those in the line do not get it in this order.
func checkLine(
	t *testing.T, q *queue.Queue, held *queue.Turn, got *[]*queue.Turn, want ...*queue.Turn,
) {
	t.Helper()
	checkStats(t, q, 1, len(want))
	held.GiveUp()
	checkStats(t, q, 0, 0)
	for i, turn := range want {
		if at := slices.Index(*got, turn); at != i {
			t.Errorf("number %d was number %d", i, at)
		}
	}
}

func TestOrderIsByRankThenByComingOrByWhatIsDueFirst(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		refreshes := []*queue.Turn{
			q.Turn(queue.Unwaited, 7), q.Turn(queue.Unwaited, 5), q.Turn(queue.Unwaited, 6),
			q.Turn(queue.Unwaited, 5),
		}
		callers := []*queue.Turn{q.Turn(queue.Waited, 3), q.Turn(queue.Waited, 2), newTurn(q)}
		services := []*queue.Turn{q.Turn(queue.First, 9), q.Turn(queue.First, 8)}
		got := line(t, slices.Concat(refreshes, callers, services)...)
		checkLine(t, q, held, got,
			services[0], services[1], callers[0], callers[1], callers[2],
			refreshes[1], refreshes[3], refreshes[2], refreshes[0])
	})
}

func TestOrderOfComingIsThatOfAskingForAPlace(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		first, second, third := newTurn(q), newTurn(q), newTurn(q)
		checkLine(t, q, held, line(t, third, first, second), first, second, third)
	})
}

func TestWhoComesBackIsBeforeThoseWhoCameLater(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		early := taken(t, q)
		early.GiveUp()
		held, late := taken(t, q), newTurn(q)
		checkLine(t, q, held, line(t, late, early), early, late)
	})
}

func TestRaisedTurnIsWaitedForAndComesNow(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		soon, refresh := q.Turn(queue.Unwaited, 1), q.Turn(queue.Unwaited, 2)
		before := newTurn(q)
		refresh.Raise()
		after := newTurn(q)
		refresh.Raise() // not again
		checkLine(t, q, held, line(t, after, soon, refresh, before), before, refresh, after, soon)
	})
}

func TestTurnIsRaisedWhileItWaits(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		before := newTurn(q)
		turns := []*queue.Turn{before}
		for due := range int64(20) {
			turns = append(turns, q.Turn(queue.Unwaited, due))
		}
		got := line(t, turns...)
		turns[10].Raise()
		want := slices.Concat([]*queue.Turn{before, turns[10]}, turns[1:10], turns[11:])
		checkLine(t, q, held, got, want...)
	})
}

func TestWhoIsWaitedForIsNotRaised(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		service, otherService := q.Turn(queue.First, 0), q.Turn(queue.First, 0)
		caller, otherCaller := newTurn(q), newTurn(q)
		for _, turn := range []*queue.Turn{service, caller} {
			turn.Raise()
		}
		checkLine(t, q, held, line(t, otherCaller, caller, otherService, service),
			service, otherService, caller, otherCaller)
	})
}

// Each invariant is looked at from outside, and the race detector looks, too.
func TestSlotsAreNeverTooManyAndNeverLost(t *testing.T) {
	const slots = 4
	simulate(t, slots, func(t *testing.T, q *queue.Queue, _ *clock) {
		var held, calls atomic.Int64
		call := func(turn *queue.Turn, random *rand.Rand) {
			d := time.Duration(random.IntN(100)) * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			if random.IntN(8) == 0 && !turn.Try() || turn.Take(ctx) != nil {
				return
			}
			defer turn.GiveUp()
			if n := held.Add(1); n > slots {
				t.Errorf("%d have a slot", n)
			}
			defer held.Add(-1)
			calls.Add(1)
			time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
			if random.IntN(50) == 0 {
				q.Pause(time.Duration(random.IntN(20)) * time.Millisecond)
			}
		}
		var all sync.WaitGroup
		for i := range uint64(200) {
			turn := q.Turn(queue.Rank(i%3), int64(i%7))
			all.Go(func() {
				random := rand.New(rand.NewPCG(i, 0))
				for range 20 {
					call(turn, random)
					turn.Sleep(t.Context(), 1+time.Duration(random.IntN(int(time.Millisecond))))
				}
			})
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				turn.Place()
				turn.Raise()
			})
		}
		all.Wait()
		if calls.Load() < 100 {
			t.Errorf("only %d calls were made", calls.Load())
		}
		time.Sleep(time.Second) // a pause may last
		taken(t, q).GiveUp()
		for range slots {
			if !newTurn(q).Try() {
				t.Error("a slot was lost")
			}
		}
		checkStats(t, q, slots, 0)
	})
}

func TestTenThousandWaitAndEachGetsASlot(t *testing.T) {
	simulate(t, 16, func(t *testing.T, q *queue.Queue, _ *clock) {
		begin := time.Now()
		var wg sync.WaitGroup
		for i := range 10_000 {
			wg.Go(func() {
				turn := q.Turn(queue.Unwaited, int64(i))
				checkTurn(t, turn.Take(t.Context()))
				time.Sleep(5 * time.Millisecond)
				turn.GiveUp()
			})
		}
		checkStats(t, q, 16, 10_000-16)
		wg.Wait()
		if took := time.Since(begin); took != 3125*time.Millisecond {
			t.Errorf("10,000 calls of 5 ms, 16 at once, took %v", took)
		}
	})
}
