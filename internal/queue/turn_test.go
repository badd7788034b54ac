package queue_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/internal/queue"
)

func TestGiveUpLetsTheNextOneHaveTheSlot(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		next := taking(t.Context(), newTurn(q))
		last := taking(t.Context(), newTurn(q))
		checkWaits(t, next)
		held.GiveUp()
		checkTurn(t, checkAfter(t, 0, next))
		held.GiveUp() // it has none any more
		checkWaits(t, last)
		checkStats(t, q, 1, 1)
	})
}

func TestTurnIsTakenAgainAfterItWasGivenUp(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		for range 3 {
			held.GiveUp()
			checkTurn(t, held.Take(t.Context()))
		}
		checkTurn(t, held.Take(t.Context())) // it has one
		checkStats(t, q, 1, 0)
		next := passing(t.Context(), newTurn(q))
		checkWaits(t, next)
		held.GiveUp()
		checkTurn(t, <-next)
	})
}

func TestTurnIsTakenAgainByWhoWaitedForItBefore(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		turn := newTurn(q)
		for range 3 {
			held := taken(t, q)
			result := passing(t.Context(), turn)
			checkWaits(t, result)
			held.GiveUp()
			checkTurn(t, <-result)
		}
	})
}

func TestWhoeverLeavesGetsTheCause(t *testing.T) {
	for name, pause := range map[string]time.Duration{
		"while no slot is free": 0,
		"during a pause":        limit,
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
				held := taken(t, q)
				q.Pause(pause)
				ctx, cancel := context.WithCancelCause(t.Context())
				leaver := taking(ctx, newTurn(q))
				next := taking(t.Context(), newTurn(q))
				checkWaits(t, leaver)
				cancel(errLeft)
				checkLeft(t, checkAfter(t, 0, leaver))
				checkStats(t, q, 1, 1)

				// What it waited for is there for the next one.
				held.GiveUp()
				checkTurn(t, checkAfter(t, pause, next))
			})
		})
	}
}

func TestWhoeverHasLeftGetsTheCauseAndNoTurn(t *testing.T) {
	for name, pause := range map[string]time.Duration{
		"a slot is free":              0,
		"there is a pause":            limit,
		"the pause outlasts the turn": limit + 1,
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
				q.Pause(pause)
				ctx, cancel := context.WithCancelCause(t.Context())
				cancel(errLeft)
				turn := newTurn(q)
				checkLeft(t, checkAfter(t, 0, taking(ctx, turn)))
				checkBegun(t, turn, false)
				checkStats(t, q, 0, 0)
			})
		})
	}
}

func TestSlotOfWhoLeavesAtThatMomentIsTheNextOnes(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, c *clock) {
		held, turn := taken(t, q), newTurn(q)
		ctx, cancel := context.WithCancelCause(t.Context())
		leaver := taking(ctx, turn)
		next := taking(t.Context(), newTurn(q))
		c.onNow = held.GiveUp // it gets the slot once it has seen that its context has ended
		cancel(errLeft)
		checkLeft(t, <-leaver)
		checkBegun(t, turn, false)
		checkTurn(t, <-next)
		checkStats(t, q, 1, 0)
	})
}

func TestTryTakesWhatNeedNotBeWaitedFor(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		turn, other := newTurn(q), newTurn(q)
		check := func(turn *queue.Turn, want bool) {
			t.Helper()
			if got := turn.Try(); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		check(turn, true)
		check(turn, true) // it has one
		checkBegun(t, turn, true)
		check(other, false)
		checkStats(t, q, 1, 0)
		turn.GiveUp()
		check(other, true)
		q.Pause(limit)
		other.GiveUp()
		check(turn, false)
		time.Sleep(limit)
		check(turn, true) // it probes
		checkStats(t, q, 1, 0)
	})
}

func TestTryTakesNothingFromWhoWouldComeFirst(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, c *clock) {
		q.Pause(limit)
		first := taking(t.Context(), newTurn(q))
		late := newTurn(q)
		c.offset = limit // nobody has seen yet that the pause has ended
		if late.Try() {
			t.Error("it has the slot of the one who came first")
		}
		checkTurn(t, checkAfter(t, 0, first))
	})
}

func checkBegun(t *testing.T, turn *queue.Turn, want bool) {
	t.Helper()
	if begun := turn.Begun(); begun != want {
		t.Errorf("it has begun: %v, want %v", begun, want)
	}
}

func TestTurnBeginsWithItsFirstSlot(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held, turn := taken(t, q), newTurn(q)
		result := taking(t.Context(), turn)
		time.Sleep(time.Hour)
		checkBegun(t, turn, false)
		held.GiveUp()
		checkTurn(t, <-result)
		checkBegun(t, turn, true)
		turn.GiveUp()
		checkTurn(t, turn.Take(t.Context()))
		checkBegun(t, turn, true)
	})
}

func TestTurnIsUnderWayFromItsFirstSlotOn(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, c *clock) {
		check := func(turn *queue.Turn, want time.Duration) {
			t.Helper()
			if elapsed := turn.Elapsed(); elapsed != want {
				t.Errorf("it has been under way for %v, want %v", elapsed, want)
			}
		}
		held, turn := taken(t, q), newTurn(q)
		result := taking(t.Context(), turn)
		time.Sleep(time.Hour)
		held.GiveUp()
		checkTurn(t, <-result)
		check(turn, 0)
		check(newTurn(q), 0) // it has not begun
		time.Sleep(time.Second)
		turn.GiveUp()
		check(held, limit) // more is from a step of the clock
		time.Sleep(time.Second)
		checkTurn(t, turn.Take(t.Context()))
		check(turn, 2*time.Second)
		c.offset = -time.Minute
		check(turn, 0)
	})
}

func TestSleepEndsWithItsTimeOrTheContext(t *testing.T) {
	for name, test := range map[string]struct {
		after, d, leave time.Duration // since it began; the context ends after leave
		slept           bool
		took            time.Duration
	}{
		"within the turn":       {0, limit / 2, time.Hour, true, limit / 2},
		"until the turn's end":  {0, limit, time.Hour, true, limit},
		"beyond it":             {0, limit + 1, time.Hour, false, 0},
		"until its end, later":  {limit / 3, limit * 2 / 3, time.Hour, true, limit * 2 / 3},
		"beyond it, later":      {limit / 3, limit*2/3 + 1, time.Hour, false, 0},
		"beyond it, at the end": {limit, 1, time.Hour, false, 0},
		"beyond the context's":  {0, limit, time.Second, false, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
				turn := taken(t, q)
				turn.GiveUp()
				time.Sleep(test.after)
				checkSleep(t, turn, test.d, test.leave, test.slept, test.took)
			})
		})
	}
}

// checkSleep fails if the turn does not sleep for d, or as long as wanted, with a context that ends
// after leave.
func checkSleep(
	t *testing.T, turn *queue.Turn, d, leave time.Duration, want bool, wantTook time.Duration,
) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), leave)
	defer cancel()
	begin := time.Now()
	slept := turn.Sleep(ctx, d)
	if took := time.Since(begin); slept != want || took != wantTook {
		t.Errorf("it slept: %v, for %v, want %v, for %v", slept, took, want, wantTook)
	}
}

func TestTimeOfATurnCountsFromItsFirstSlot(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held, turn := taken(t, q), newTurn(q)
		time.Sleep(time.Hour)
		checkSleep(t, turn, limit+1, time.Hour, false, 0)
		checkSleep(t, turn, limit, time.Hour, true, limit)
		result := passing(t.Context(), turn)
		time.Sleep(time.Hour)
		held.GiveUp()
		checkTurn(t, <-result)
		checkSleep(t, turn, limit/2, time.Hour, true, limit/2)
		checkTurn(t, <-passing(t.Context(), turn)) // it has begun before
		checkSleep(t, turn, limit/2+1, time.Hour, false, 0)
	})
}

// The time is bounded by a timer of the caller's, which no step of the clock moves.
func TestClockThatWasSetNeitherEndsATurnNorLetsItSleepBeyondItsEnd(t *testing.T) {
	for _, step := range []time.Duration{
		-1000 * time.Hour, -limit, limit, 1000 * time.Hour,
	} {
		simulate(t, 1, func(t *testing.T, q *queue.Queue, c *clock) {
			turn := taken(t, q)
			turn.GiveUp()
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			time.Sleep(limit / 2)
			c.offset = step
			if !turn.Sleep(ctx, limit/4) {
				t.Errorf("set by %v: it did not sleep within its time", step)
			}
			begin := time.Now()
			if turn.Sleep(ctx, limit/2) || time.Since(begin) > limit/4 {
				t.Errorf("set by %v: it slept beyond its end", step)
			}
			if turn.Sleep(ctx, limit+1) {
				t.Errorf("set by %v: it slept for longer than a turn takes", step)
			}
		})
	}
}

func TestClockMayCallBack(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, c *clock) {
		turn := newTurn(q)
		for name, call := range map[string]func(){
			"Take":   func() { checkTurn(t, turn.Take(t.Context())) },
			"GiveUp": turn.GiveUp,
			"Try":    func() { turn.Try() },
			"Sleep":  func() { turn.Sleep(t.Context(), 1) },
			"Pause":  func() { q.Pause(1) },
		} {
			called := false
			c.onNow = func() {
				called = true
				q.Stats() // it would wait for ever under the lock
			}
			call()
			if !called {
				t.Errorf("%s did not look at the clock", name)
			}
			turn.GiveUp()
			time.Sleep(time.Nanosecond)
			synctest.Wait()
		}
	})
}

func TestWithdrawnTurnGetsNoSlot(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		early := newTurn(q)
		if !early.Withdraw() {
			t.Error("a turn that has not come was not withdrawn")
		}
		if err := early.Take(t.Context()); err == nil {
			t.Error("it was taken")
		}
		if !early.Withdraw() || early.Take(t.Context()) == nil {
			t.Error("to withdraw it again undid that")
		}
		held, waits, next := taken(t, q), newTurn(q), newTurn(q)
		ctx, cancel := context.WithCancel(t.Context())
		result, after := taking(ctx, waits), taking(t.Context(), next)
		synctest.Wait()
		if !waits.Withdraw() {
			t.Error("a turn that waits was not withdrawn")
		}
		held.GiveUp() // at the same moment
		cancel()
		if err := <-result; err == nil {
			t.Error("it was taken while it waited")
		}
		if err := <-after; err != nil {
			t.Errorf("the next one got %v", err)
		}
		next.GiveUp()
		if held, waiting := q.Stats(); held != 0 || waiting != 0 {
			t.Errorf("%d slots are held, and %d wait", held, waiting)
		}
	})
}

func TestTurnThatHasBegunIsNotWithdrawn(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		turn := taken(t, q)
		if turn.Withdraw() {
			t.Error("it was withdrawn while it had a slot")
		}
		turn.GiveUp()
		if turn.Withdraw() {
			t.Error("it was withdrawn between two tries")
		}
		if err := turn.Take(t.Context()); err != nil {
			t.Error(err)
		}
		turn.GiveUp()
	})
}

func TestTurnThatWaitsAgainIsLateInTheEnd(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		turn := taken(t, q)
		time.Sleep(limit / 4)
		turn.GiveUp()
		if left := turn.Left(); left != limit-limit/4 {
			t.Errorf("%v are left", left)
		}
		held := taken(t, q)
		before := time.Now()
		if err := turn.Take(t.Context()); err != queue.ErrLate {
			t.Errorf("got %v", err)
		}
		if took := time.Since(before); took != limit-limit/4 {
			t.Errorf("it took %v", took)
		}
		held.GiveUp()
		if held, waiting := q.Stats(); held != 0 || waiting != 0 {
			t.Errorf("%d slots are held, and %d wait", held, waiting)
		}
	})
}

func TestReturnedSlotIsNoTurn(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		turn := taken(t, q)
		time.Sleep(limit / 2)
		turn.Return()
		checkBegun(t, turn, false)
		checkStats(t, q, 0, 0)
		time.Sleep(time.Hour)
		checkTurn(t, turn.Take(t.Context()))
		if left := turn.Left(); left != limit {
			t.Errorf("%v are left", left)
		}
		turn.GiveUp() // after a call
		checkTurn(t, turn.Take(t.Context()))
		turn.Return()
		checkBegun(t, turn, true)
		turn = taken(t, q)
		turn.Skip()
		checkBegun(t, turn, true)
	})
}

// What a step of the clock says does not count, but what has passed does.
func TestNothingIsLeftOnceTheTimeForATurnHasPassed(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, c *clock) {
		turn := taken(t, q)
		turn.GiveUp()
		time.Sleep(limit + time.Second)
		for _, offset := range []time.Duration{0, -limit, limit} {
			c.offset = offset
			if left := turn.Left(); left != 0 {
				t.Errorf("%v are left", left)
			}
			if turn.Sleep(t.Context(), 1) {
				t.Error("it slept")
			}
		}
		held := taken(t, q)
		if err := checkAfter(t, 0, taking(t.Context(), turn)); err != queue.ErrLate {
			t.Errorf("got %v", err)
		}
		held.GiveUp()
	})
}
