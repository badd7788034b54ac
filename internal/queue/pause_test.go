package queue_test

import (
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/internal/queue"
)

func TestPausesEnd(t *testing.T) {
	type step struct{ after, pause time.Duration }
	for name, test := range map[string]struct {
		pauses []step
		want   time.Duration // at the end
	}{
		"none":                       {nil, 0},
		"of no time":                 {[]step{{0, 0}}, 0},
		"of less than no time":       {[]step{{0, -time.Hour}}, 0},
		"just begun":                 {[]step{{0, time.Hour}}, time.Hour},
		"shorter one":                {[]step{{0, time.Hour}, {0, time.Minute}}, time.Hour},
		"longer one":                 {[]step{{0, time.Minute}, {0, time.Hour}}, time.Hour},
		"shorter one that ends last": {[]step{{0, 60}, {50, 30}}, 30},
		"shorter one that does not":  {[]step{{0, 60}, {50, 9}}, 10},
		"after one has ended":        {[]step{{0, 60}, {60, 5}}, 5},
		"no time, long after one":    {[]step{{0, 60}, {3600, 0}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
				for _, step := range test.pauses {
					time.Sleep(step.after)
					q.Pause(step.pause)
				}
				if got := q.Paused(); got != test.want {
					t.Errorf("paused for %v, want %v", got, test.want)
				}
				if test.want > 0 {
					time.Sleep(test.want - 1)
					if got := q.Paused(); got != 1 {
						t.Errorf("paused for %v just before the end", got)
					}
					time.Sleep(time.Nanosecond)
				}
				if got := q.Paused(); got != 0 {
					t.Errorf("paused for %v afterwards", got)
				}
			})
		})
	}
}

func TestTakeWaitsOutAPause(t *testing.T) {
	for _, within := range []time.Duration{time.Minute, time.Hour} { // it may end with the turn
		simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
			q.Pause(time.Minute)
			checkTurn(t, checkAfter(t, time.Minute, taking(t.Context(), turn(q, within))))
		})
	}
}

func TestTakeWaitsOutAPauseThatGrewMeanwhile(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		q.Pause(time.Minute)
		result := taking(t.Context(), turn(q, time.Hour))
		time.Sleep(30 * time.Second)
		q.Pause(time.Minute)
		checkTurn(t, checkAfter(t, time.Minute, result))
	})
}

func TestTakeWaitsOutAPauseThatBeganWhileNoSlotWasFree(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		first := taking(t.Context(), turn(q, time.Hour))
		second := taking(t.Context(), turn(q, time.Hour))
		q.Pause(time.Minute)
		held.GiveUp()
		checkTurn(t, checkAfter(t, time.Minute, first))
		checkTurn(t, checkAfter(t, 0, second))
	})
}

func TestPauseThatOutlastsTheTurnIsAnErrorAtOnce(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		q.Pause(time.Hour)
		time.Sleep(time.Minute)
		result := taking(t.Context(), turn(q, 59*time.Minute-1))
		checkPaused(t, checkAfter(t, 0, result), 59*time.Minute)
		time.Sleep(59 * time.Minute)
		taken(t, q).GiveUp()
	})
}

func TestPauseThatGrowsBeyondTheTurnIsAnError(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		q.Pause(time.Second)
		result := taking(t.Context(), turn(q, time.Minute))
		q.Pause(time.Hour)
		checkPaused(t, checkAfter(t, time.Second, result), time.Hour-time.Second)
	})
}

func TestPauseBeyondTheTurnThatBeganWhileNoSlotWasFreeIsAnError(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, _ *clock) {
		held := taken(t, q)
		result := taking(t.Context(), turn(q, time.Minute))
		q.Pause(time.Hour)
		checkWaits(t, result)
		held.GiveUp()
		checkPaused(t, checkAfter(t, 0, result), time.Hour)
		time.Sleep(time.Hour)
		taken(t, q).GiveUp() // the slot is free again
	})
}

func TestClockSetBackEndsAPause(t *testing.T) {
	for _, back := range []time.Duration{1, time.Minute, 1000 * time.Hour} {
		simulate(t, 1, func(t *testing.T, q *queue.Queue, c *clock) {
			q.Pause(time.Hour)
			c.offset = -back
			if got := q.Paused(); got != 0 {
				t.Errorf("set back by %v: paused for %v", back, got)
			}
			checkTurn(t, checkAfter(t, 0, taking(t.Context(), turn(q, time.Minute))))

			q.Pause(time.Second) // however long the other one had been
			if got := q.Paused(); got != time.Second {
				t.Errorf("set back by %v: the next pause is of %v", back, got)
			}
		})
	}
}

func TestClockSetForwardShortensAPause(t *testing.T) {
	simulate(t, 1, func(t *testing.T, q *queue.Queue, c *clock) {
		q.Pause(time.Hour)
		c.offset = time.Minute
		if got := q.Paused(); got != 59*time.Minute {
			t.Errorf("paused for %v", got)
		}
		c.offset = 2 * time.Hour
		if got := q.Paused(); got != 0 {
			t.Errorf("paused for %v", got)
		}
	})
}

func TestPausedErrorSaysHowLongYet(t *testing.T) {
	err := &queue.PausedError{Left: 90 * time.Second}
	if got, want := err.Error(), "paused for another 1m30s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The race detector looks.
func TestQueueIsSafeForConcurrentUse(t *testing.T) {
	simulate(t, 2, func(t *testing.T, q *queue.Queue, _ *clock) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				q.Pause(time.Second)
				held := turn(q, time.Hour)
				checkTurn(t, held.Take(t.Context()))
				held.GiveUp()
			})
		}
		wg.Wait()
	})
}
