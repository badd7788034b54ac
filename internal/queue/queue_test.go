package queue_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth/internal/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errLeft = errors.New("left")

// clock is the time of a synctest bubble, set back or forward.
type clock struct {
	t      *testing.T
	offset time.Duration
}

func (c *clock) Now() time.Time { return time.Now().Add(c.offset) }

func (c *clock) After(d time.Duration) <-chan time.Time {
	if d <= 0 {
		c.t.Errorf("it waits for %v", d)
		return nil // rather than let it spin
	}
	return time.After(d)
}

// simulate runs test in a bubble of simulated time, with a Queue for this many calls at once. It
// fails if the test leaves a goroutine behind.
func simulate(t *testing.T, slots int, test func(t *testing.T, q *queue.Queue, c *clock)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{t: t}
		test(t, queue.New(slots, c), c)
	})
}

// turn returns a Turn that ends after d.
func turn(q *queue.Queue, d time.Duration) *queue.Turn { return q.Turn(time.Now().Add(d)) }

// taken takes a Turn that lasts for a day.
func taken(t *testing.T, q *queue.Queue) *queue.Turn {
	t.Helper()
	held := turn(q, 24*time.Hour)
	if err := held.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	return held
}

// taking takes a Turn in the background, which it gives up at once. The channel gets the error.
func taking(ctx context.Context, turn *queue.Turn) <-chan error {
	result := make(chan error, 1)
	go func() {
		err := turn.Take(ctx)
		if err == nil {
			turn.GiveUp()
		}
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

func checkPaused(t *testing.T, err error, left time.Duration) {
	t.Helper()
	var paused *queue.PausedError
	if !errors.As(err, &paused) || paused.Left != left {
		t.Errorf("got %v, want a pause of %v", err, left)
	}
}

func TestSlotsBoundTheCallsAtOnce(t *testing.T) {
	for _, slots := range []int{1, 4} {
		simulate(t, slots, func(t *testing.T, q *queue.Queue, _ *clock) {
			begin := time.Now()
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					held := turn(q, time.Hour)
					checkTurn(t, held.Take(t.Context()))
					time.Sleep(time.Second)
					held.GiveUp()
				})
			}
			wg.Wait()
			want := time.Duration(20/slots) * time.Second
			if took := time.Since(begin); took != want {
				t.Errorf("20 calls of a second, %d at once, took %v", slots, took)
			}
		})
	}
}

func TestGiveUpLetsTheNextOneHaveTheSlot(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		next := taking(t.Context(), turn(q, time.Hour))
		checkWaits(t, next)
		held.GiveUp()
		checkTurn(t, checkAfter(t, 0, next))
	})
}

func TestTurnIsTakenAgainAfterItWasGivenUp(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		for range 3 {
			held.GiveUp()
			checkTurn(t, held.Take(t.Context()))
		}
		next := taking(t.Context(), turn(q, time.Hour))
		checkWaits(t, next)
		held.GiveUp()
		checkTurn(t, <-next)
	})
}

func TestWhoeverLeavesGetsTheCause(t *testing.T) {
	for name, pause := range map[string]time.Duration{
		"while no slot is free": 0,
		"during a pause":        time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
				held := taken(t, q)
				q.Pause(pause)
				ctx, cancel := context.WithCancelCause(t.Context())
				leaver := taking(ctx, turn(q, time.Hour))
				checkWaits(t, leaver)
				cancel(errLeft)
				checkLeft(t, checkAfter(t, 0, leaver))

				// What it waited for is there for the next one.
				held.GiveUp()
				time.Sleep(pause)
				taken(t, q).GiveUp()
			})
		})
	}
}

func TestWhoeverHasLeftGetsTheCauseAndNoTurn(t *testing.T) {
	for name, pause := range map[string]time.Duration{
		"a slot is free":              0,
		"there is a pause":            time.Minute,
		"the pause outlasts the turn": 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
				q.Pause(pause)
				ctx, cancel := context.WithCancelCause(t.Context())
				cancel(errLeft)
				checkLeft(t, checkAfter(t, 0, taking(ctx, turn(q, time.Hour))))
			})
		})
	}
}

func TestSleepEndsWithItsTimeOrTheContext(t *testing.T) {
	for name, test := range map[string]struct {
		d, within, leave time.Duration // the context ends after leave
		slept            bool
		took             time.Duration
	}{
		"within the turn":      {time.Minute, time.Hour, time.Hour, true, time.Minute},
		"until the turn's end": {time.Minute, time.Minute, time.Hour, true, time.Minute},
		"beyond it":            {time.Minute, time.Minute - 1, time.Hour, false, 0},
		"after it":             {1, -time.Hour, time.Hour, false, 0},
		"beyond the context's": {time.Minute, time.Hour, time.Second, false, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
				ctx, cancel := context.WithTimeout(t.Context(), test.leave)
				defer cancel()
				begin := time.Now()
				slept := turn(q, test.within).Sleep(ctx, test.d)
				if took := time.Since(begin); slept != test.slept || took != test.took {
					t.Errorf("it slept: %v, for %v", slept, took)
				}
			})
		})
	}
}

func TestTheTurnsEndIsByTheQueuesClock(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, c *clock) {
		place := q.Turn(c.Now().Add(time.Hour))
		c.offset = time.Hour
		if place.Sleep(t.Context(), 1) {
			t.Error("it slept beyond the turn's end")
		}
	})
}
