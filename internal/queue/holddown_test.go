package queue_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/internal/queue"
)

var (
	begin    = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	errFirst = errors.New("first")
	errNext  = errors.New("next")
)

// checkDown fails if the key is not held down with this error until d has passed, and no longer.
func checkDown(
	t *testing.T, h *queue.HoldDown[string], key string, want error, since time.Time,
	d time.Duration,
) {
	t.Helper()
	for _, elapsed := range []time.Duration{0, 1, d / 2, d - 1} {
		age, left, err := h.Refuse(key, since.Add(elapsed))
		if err != want || age != elapsed || left != d-elapsed {
			t.Errorf("%v after the failure: got %v, %v ago, for %v", elapsed, err, age, left)
		}
	}
	for _, elapsed := range []time.Duration{d, d + 1, 1000 * time.Hour} {
		age, left, err := h.Refuse(key, since.Add(elapsed))
		if err != nil || age != 0 || left != 0 {
			t.Errorf("%v after the failure: got %v, %v ago, for %v", elapsed, err, age, left)
		}
	}
}

func TestWhoeverHasNotFailedMayTry(t *testing.T) {
	h := queue.NewHoldDown[string]()
	h.Add("a", errFirst, queue.MaxHoldDown, 0, begin)
	for _, now := range []time.Time{{}, begin} {
		if _, _, err := h.Refuse("b", now); err != nil {
			t.Errorf("got %v", err)
		}
	}
}

func TestEachFailureHoldsDownTwiceAsLongUpToHalfAMinute(t *testing.T) {
	h := queue.NewHoldDown[string]()
	now := begin
	for _, seconds := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		down := seconds * time.Second
		err := errors.New(down.String())
		if got := h.Add("a", err, 0, 0, now); got != down {
			t.Errorf("held down for %v, want %v", got, down)
		}
		checkDown(t, h, "a", err, now, down)
		now = now.Add(time.Hour)
	}
}

func TestFailureMayHoldDownForATimeOfItsOwn(t *testing.T) {
	for fixed, next := range map[time.Duration]time.Duration{
		5 * time.Second:       10 * time.Second,
		queue.MaxHoldDown:     queue.MaxHoldDown,
		2 * queue.MaxHoldDown: queue.MaxHoldDown,
	} {
		h := queue.NewHoldDown[string]()
		for range 3 { // it does not double
			if got := h.Add("a", errFirst, fixed, 0, begin); got != fixed {
				t.Errorf("held down for %v, want %v", got, fixed)
			}
			checkDown(t, h, "a", errFirst, begin, fixed)
		}
		if got := h.Add("a", errNext, 0, 0, begin); got != next {
			t.Errorf("the next failure holds down for %v, want %v", got, next)
		}
	}
}

func TestFailureHoldsDownForNoLessThanItIsTo(t *testing.T) {
	h := queue.NewHoldDown[string]()
	for _, least := range []time.Duration{0, time.Minute} {
		for _, fixed := range []time.Duration{0, 2 * time.Second} {
			want := max(fixed, least, time.Second)
			if got := h.Add("a", errFirst, fixed, least, begin); got != want {
				t.Errorf("held down for %v, want %v", got, want)
			}
			h.Remove("a")
		}
	}
}

func TestWhoIsPostponedHasNotFailed(t *testing.T) {
	h := queue.NewHoldDown[string]()
	h.Postpone("a", errFirst, time.Second, begin)
	checkDown(t, h, "a", errFirst, begin, time.Second)
	h.Remove("a")
	for _, down := range []time.Duration{1, 2, 4} {
		if got := h.Add("a", errFirst, 0, 0, begin); got != down*time.Second {
			t.Errorf("held down for %v, want %d s", got, down)
		}
	}
	h.Postpone("a", errNext, time.Second, begin)
	checkDown(t, h, "a", errNext, begin, 4*time.Second)
	if got := h.Add("a", errFirst, 0, 0, begin); got != 8*time.Second {
		t.Errorf("held down for %v, want 8 s", got)
	}
}

func TestKeysFailApart(t *testing.T) {
	h := queue.NewHoldDown[string]()
	h.Add("a", errFirst, 0, 0, begin)
	h.Add("a", errFirst, 0, 0, begin)
	if got := h.Add("b", errNext, 0, 0, begin); got != time.Second {
		t.Errorf("b is held down for %v", got)
	}
	h.Remove("b")
	checkDown(t, h, "a", errFirst, begin, 2*time.Second)
}

func TestRemovedKeyMayTryAndItsNextFailureIsItsFirst(t *testing.T) {
	h := queue.NewHoldDown[string]()
	h.Remove("a")
	h.Add("a", errFirst, queue.MaxHoldDown, 0, begin)
	h.Remove("a")
	if _, _, err := h.Refuse("a", begin); err != nil {
		t.Errorf("got %v", err)
	}
	if got := h.Add("a", errNext, 0, 0, begin); got != time.Second {
		t.Errorf("held down for %v", got)
	}
}

func TestClockSetBackEndsAHoldDown(t *testing.T) {
	h := queue.NewHoldDown[string]()
	h.Add("a", errFirst, queue.MaxHoldDown, 0, begin)
	for _, back := range []time.Duration{1, time.Second, 1000 * time.Hour} {
		if _, _, err := h.Refuse("a", begin.Add(-back)); err != nil {
			t.Errorf("set back by %v: got %v", back, err)
		}
	}
}

func TestFailureAfterTheClockWasSetBackHoldsDownTwiceAsLong(t *testing.T) {
	h := queue.NewHoldDown[string]()
	h.Add("a", errFirst, 0, 0, begin)
	before := begin.Add(-time.Hour)
	if got := h.Add("a", errNext, 0, 0, before); got != 2*time.Second {
		t.Errorf("held down for %v", got)
	}
	if _, _, err := h.Refuse("a", before); err != errNext {
		t.Errorf("got %v", err)
	}
}

func TestTenThousandFailuresAreRemembered(t *testing.T) {
	h := queue.NewHoldDown[int]()
	isDown := func(key int) bool {
		_, _, err := h.Refuse(key, begin)
		return err != nil
	}
	for key := range 10_000 {
		h.Add(key, errFirst, queue.MaxHoldDown, 0, begin)
	}
	h.Add(0, errNext, queue.MaxHoldDown, 0, begin) // so it is not the oldest any more
	if !isDown(1) {
		t.Error("the oldest of 10,000 failures is not remembered")
	}
	h.Add(10_000, errFirst, queue.MaxHoldDown, 0, begin)
	for key, want := range map[int]bool{0: true, 1: false, 2: true, 9_999: true, 10_000: true} {
		if isDown(key) != want {
			t.Errorf("after 10,001 failures %d is held down: %v", key, !want)
		}
	}
}

// The race detector looks.
func TestHoldDownIsSafeForConcurrentUse(t *testing.T) {
	h := queue.NewHoldDown[int]()
	var wg sync.WaitGroup
	for key := range 8 {
		wg.Go(func() {
			h.Add(key, errFirst, 0, 0, begin)
			_, _, _ = h.Refuse(0, begin)
			h.Remove(key)
		})
	}
	wg.Wait()
}
