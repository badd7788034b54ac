package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/internal/queue"
)

func checkPaused(t *testing.T, err error, left time.Duration) {
	t.Helper()
	var paused *queue.PausedError
	if !errors.As(err, &paused) || paused.Left != left {
		t.Errorf("got %v, want a pause of %v", err, left)
	}
}

func TestPausesEnd(t *testing.T) {
	type step struct{ after, pause time.Duration }
	for name, test := range map[string]struct {
		pauses []step
		want   time.Duration // at the end
	}{
		"none":                       {nil, 0},
		"of no time":                 {[]step{{0, 0}}, 0},
		"of less than no time":       {[]step{{0, -time.Hour}}, 0},
		"just begun":                 {[]step{{0, limit}}, limit},
		"shorter one":                {[]step{{0, limit}, {0, 1}}, limit},
		"longer one":                 {[]step{{0, 1}, {0, limit}}, limit},
		"shorter one that ends last": {[]step{{0, 60}, {50, 30}}, 30},
		"shorter one that does not":  {[]step{{0, 60}, {50, 9}}, 10},
		"after one has ended":        {[]step{{0, 60}, {60, 5}}, 5},
		"no time, long after one":    {[]step{{0, 60}, {3600, 0}}, 0},
		"longest":                    {[]step{{0, time.Hour}, {5*time.Minute - 7, 0}}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
				for _, step := range test.pauses {
					time.Sleep(step.after)
					q.Pause(step.pause)
				}
				checkTurn(t, checkAfter(t, test.want, taking(t.Context(), newTurn(q))))
			})
		})
	}
}

func TestPauseThatGrowsIsWaitedOut(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		q.Pause(limit)
		result := taking(t.Context(), newTurn(q))
		time.Sleep(limit / 2)
		q.Pause(limit)
		checkTurn(t, checkAfter(t, limit, result))
	})
}

func TestPauseThatBeginsWhileNoSlotIsFreeIsWaitedOut(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		first := passing(t.Context(), newTurn(q))
		second := passing(t.Context(), newTurn(q))
		q.Pause(limit)
		checkStats(t, q, 1, 2)
		held.GiveUp()
		checkTurn(t, checkAfter(t, limit, first))
		checkTurn(t, checkAfter(t, 0, second))
	})
}

func TestPauseThatOutlastsTheTurnIsAnErrorAtOnce(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		q.Pause(2 * limit)
		time.Sleep(limit - 1)
		turn := newTurn(q)
		checkPaused(t, checkAfter(t, 0, taking(t.Context(), turn)), limit+1)
		if turn.Try() {
			t.Error("it has a turn during a pause")
		}
		checkStats(t, q, 0, 0)
		time.Sleep(time.Nanosecond)
		checkTurn(t, checkAfter(t, limit, taking(t.Context(), turn)))
	})
}

func TestPauseThatOutlastsTheRestOfATurnIsAnErrorAtOnce(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		turn := taken(t, q)
		turn.GiveUp()
		time.Sleep(limit / 2)
		q.Pause(limit/2 + 1)
		checkPaused(t, checkAfter(t, 0, taking(t.Context(), turn)), limit/2+1)
	})
}

func TestPauseIsAnErrorAtOnceForWhoWaitsAndHasLessTime(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		begun := taken(t, q)
		begun.GiveUp()
		held := taken(t, q)
		last := newTurn(q)
		turns := []*queue.Turn{q.Turn(queue.First, 0), q.Turn(queue.Unwaited, 0), begun, newTurn(q)}
		var results []<-chan error
		for _, turn := range turns {
			results = append(results, taking(t.Context(), turn))
		}
		time.Sleep(limit / 2)
		q.Pause(limit/2 + 1)
		checkPaused(t, checkAfter(t, 0, results[2]), limit/2+1) // it has begun
		checkStats(t, q, 1, 3)

		result := taking(t.Context(), last)
		for _, turn := range turns {
			turn.Raise() // the order is still right
		}
		want := queue.Place{Waits: true, Ahead: 4, Paused: true} // one has a slot
		if got := last.Place(); got != want {
			t.Errorf("its place is %+v, want %+v", got, want)
		}
		q.Pause(limit + 1)
		for _, result := range append(results[:2], results[3], result) {
			checkPaused(t, checkAfter(t, 0, result), limit+1)
		}
		checkStats(t, q, 1, 0)
		held.GiveUp()
		time.Sleep(limit + 1)
		checkTurn(t, checkAfter(t, 0, taking(t.Context(), begun))) // the slot is free again
	})
}

// The race detector sees whether a turn writes what the pause reads.
func TestPauseMayBeginAtTheMomentInWhichTheTimeOfATurnEnds(t *testing.T) {
	for range 100 {
		simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
			begun := taken(t, q)
			begun.GiveUp()
			held := taken(t, q)
			result := taking(t.Context(), begun)
			time.Sleep(limit)
			q.Pause(1)
			if err := checkAfter(t, 0, result); err == nil {
				t.Error("it has a turn")
			}
			held.GiveUp()
		})
	}
}

func TestOrderIsKeptWhenAPauseHasFailedSomeOfThoseWhoWait(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		begun := taken(t, q)
		begun.GiveUp()
		held := taken(t, q)
		failed := taking(t.Context(), begun)
		var turns []*queue.Turn
		for due := range int64(20) {
			turns = append(turns, q.Turn(queue.Unwaited, due*7%20))
		}
		got := line(t, turns...)
		time.Sleep(limit / 2)
		q.Pause(limit/2 + 1)
		checkPaused(t, checkAfter(t, 0, failed), limit/2+1)
		ordered := make([]*queue.Turn, 20)
		for i, turn := range turns {
			ordered[i*7%20] = turn
		}
		time.Sleep(limit)
		checkLine(t, q, held, got, ordered...)
	})
}

func TestOneProbesAfterAPause(t *testing.T) {
	simulate(t, 4, func(t *testing.T, q *queue.Queue, _ *clock) {
		q.Pause(limit)
		var turns []*queue.Turn
		for range 6 {
			turns = append(turns, newTurn(q))
			taking(t.Context(), turns[len(turns)-1])
		}
		time.Sleep(limit - 1)
		checkStats(t, q, 0, 6)
		time.Sleep(time.Nanosecond)
		checkStats(t, q, 1, 5)
		time.Sleep(time.Hour)
		if newTurn(q).Try() {
			t.Error("another one has a slot while one probes")
		}

		q.Pause(limit) // what the probe's call has brought
		turns[0].GiveUp()
		checkStats(t, q, 0, 5)
		time.Sleep(limit)
		checkStats(t, q, 1, 4)
		turns[1].GiveUp()
		checkStats(t, q, 4, 0)
	})
}

func TestWhoComesLongAfterAPauseProbes(t *testing.T) {
	simulate(t, 2, func(t *testing.T, q *queue.Queue, _ *clock) {
		q.Pause(limit)
		time.Sleep(time.Hour)
		probe := taken(t, q)
		taking(t.Context(), newTurn(q))
		checkStats(t, q, 1, 1)
		probe.GiveUp()
		checkStats(t, q, 1, 0)
		taken(t, q)
	})
}

func TestSlotsThatAreHeldWhenAPauseBeginsProveNothing(t *testing.T) {
	for name, pauses := range map[string]int{"the first pause": 1, "a pause of the probe's": 2} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 3, func(t *testing.T, q *queue.Queue, _ *clock) {
				var before *queue.Turn
				for range pauses { // the second time it is a probe
					before = taken(t, q)
					q.Pause(limit)
					checkTurn(t, before.Take(t.Context())) // it has one
					time.Sleep(limit)
				}
				probe := taken(t, q)
				next := taking(t.Context(), newTurn(q))
				before.GiveUp()
				checkWaits(t, next)
				probe.GiveUp()
				checkTurn(t, checkAfter(t, 0, next))
			})
		})
	}
}

func TestProbeThatLeavesIsReplaced(t *testing.T) {
	simulate(t, 2, func(t *testing.T, q *queue.Queue, c *clock) {
		q.Pause(limit)
		ctx, cancel := context.WithCancelCause(t.Context())
		leaver := taking(ctx, newTurn(q))
		next, last := newTurn(q), newTurn(q)
		taking(t.Context(), next)
		taking(t.Context(), last)
		c.onNow = func() { // it is the probe once it has seen that its context has ended
			c.offset = limit
			newTurn(q).Try()
		}
		cancel(errLeft)
		checkLeft(t, <-leaver)
		checkStats(t, q, 1, 1)
		next.GiveUp()
		checkStats(t, q, 1, 0)
	})
}

// Those who come or go may be who would wait for the pause's end.
func TestPauseEndsWhoeverComesAndGoes(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, q *queue.Queue, first, last place){
		"nobody": func(*testing.T, *queue.Queue, place, place) {},
		"the first one leaves": func(_ *testing.T, _ *queue.Queue, first, _ place) {
			first.leave()
		},
		"the last one is raised": func(_ *testing.T, _ *queue.Queue, _, last place) {
			last.turn.Raise()
		},
		"the last one is raised, then it leaves": func(
			_ *testing.T, _ *queue.Queue, _, last place,
		) {
			last.turn.Raise()
			last.leave()
		},
		"the last one is raised, the first one leaves": func(
			_ *testing.T, _ *queue.Queue, first, last place,
		) {
			last.turn.Raise()
			first.leave()
		},
		"another one looks": func(_ *testing.T, q *queue.Queue, _, _ place) {
			newTurn(q).Try()
		},
		"another one waits and leaves": func(t *testing.T, q *queue.Queue, _, _ place) {
			ctx, cancel := context.WithCancelCause(t.Context())
			left := taking(ctx, newTurn(q))
			cancel(errLeft)
			checkLeft(t, <-left)
		},
		"the first one leaves, another one comes": func(
			t *testing.T, q *queue.Queue, first, _ place,
		) {
			first.leave()
			passing(t.Context(), newTurn(q))
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 3, func(t *testing.T, q *queue.Queue, _ *clock) {
				q.Pause(limit)
				var places [3]place
				var results [3]<-chan error
				for i := range places {
					ctx, cancel := context.WithCancelCause(t.Context())
					places[i].turn = q.Turn(queue.Unwaited, int64(i))
					places[i].leave = func() { cancel(errLeft) }
					results[i] = passing(ctx, places[i].turn)
				}
				change(t, q, places[0], places[2])
				checkTurn(t, checkAfter(t, limit, results[1]))
			})
		})
	}
}

func TestOneWaitsForThePausesEndForAll(t *testing.T) {
	simulate(t, 16, func(t *testing.T, q *queue.Queue, c *clock) {
		q.Pause(limit)
		for range 1000 {
			go func() {
				turn := newTurn(q)
				checkTurn(t, turn.Take(t.Context()))
				turn.GiveUp()
			}()
		}
		checkStats(t, q, 0, 1000)
		time.Sleep(limit - 1)
		if n := c.timers.Load(); n != 1 {
			t.Errorf("%d timers were made", n)
		}
		time.Sleep(time.Nanosecond)
		checkStats(t, q, 0, 0)
	})
}

func TestPauseThatBeginsWhileTheClockIsReadIsHeeded(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, c *clock) {
		c.onNow = func() {
			time.Sleep(time.Nanosecond) // so that what is read lies before the pause
			q.Pause(limit)
		}
		checkTurn(t, checkAfter(t, limit+1, taking(t.Context(), newTurn(q))))
	})
}

func TestClockSetBackEndsAPause(t *testing.T) {
	for _, back := range []time.Duration{1, time.Minute, 1000 * time.Hour} {
		simulate(t, 2, func(t *testing.T, q *queue.Queue, c *clock) {
			q.Pause(limit)
			c.offset = -back
			held := taken(t, q)
			c.offset = 0 // it was seen to have ended
			held.GiveUp()
			taken(t, q)
			c.offset = -back
			q.Pause(limit / 2) // however long the other one had been
			checkTurn(t, checkAfter(t, limit/2, taking(t.Context(), newTurn(q))))
		})
	}
}

func TestClockSetForwardShortensAPause(t *testing.T) {
	simulate(t, 2, func(t *testing.T, q *queue.Queue, c *clock) {
		q.Pause(2 * limit)
		c.offset = limit + limit/2
		checkTurn(t, checkAfter(t, limit/2, passing(t.Context(), newTurn(q))))
		q.Pause(limit)
		c.offset += limit
		taken(t, q)
	})
}

func TestPausedErrorSaysHowLongYet(t *testing.T) {
	err := &queue.PausedError{Left: 90 * time.Second}
	if got, want := err.Error(), "paused for another 1m30s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPauseSaysHowLongTheOneIsThatBegins(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		for _, test := range []struct{ after, pause, want time.Duration }{
			{0, 0, 0}, {0, 60, 60}, {0, 60, 0}, {10, 50, 0}, {0, 51, 51},
			{60, time.Hour, queue.MaxPause},
		} {
			time.Sleep(test.after)
			if got := q.Pause(test.pause); got != test.want {
				t.Errorf("a pause of %d is one of %d, want %d", test.pause, got, test.want)
			}
		}
	})
}

func TestPausedErrorSaysHowOldThePauseIs(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		q.Pause(3 * limit)
		time.Sleep(limit)
		err := newTurn(q).Take(t.Context())
		var paused *queue.PausedError
		if !errors.As(err, &paused) || paused.Age != limit || paused.Left != 2*limit {
			t.Errorf("got %+v, want %v ago and %v left", err, limit, 2*limit)
		}
	})
}
