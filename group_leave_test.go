package lookerauth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// untilTheEnd is a job that takes a second, or until it is withdrawn.
func untilTheEnd(ctx context.Context, key, _ string) (string, error) {
	select {
	case <-time.After(time.Second):
		return key, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func TestCallForNobodyIsWithdrawn(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		var ended time.Duration
		before := time.Now()
		j.onRun = func(ctx context.Context, key, begun string) (string, error) {
			defer func() { ended = time.Since(before) }()
			return untilTheEnd(ctx, key, begun)
		}
		j.onKeep = func(result string, err, lost error) (string, error) {
			if lost != errAgain {
				t.Errorf("it may have the result %q, %v: %v", result, err, lost)
			}
			return result, lost
		}
		first, second := askFor(leaving(t), g, "a"), askFor(leaving(t), g, "a")
		checkGot(t, first, got{"", context.DeadlineExceeded, time.Second / 4})
		checkGot(t, second, got{"", context.DeadlineExceeded, time.Second / 4})
		j.check(t, 1, 0)
		if ended != time.Second/4 {
			t.Errorf("the job ended after %v", ended)
		}
	})
}

func TestCallThatMustGoOnOutlivesItsCallers(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.goesOn, j.onRun = true, untilTheEnd
		checkGot(t, askFor(leaving(t), g, "a"), got{"", context.DeadlineExceeded, time.Second / 4})
		checkGot(t, askFor(t.Context(), g, "a"), got{"a", nil, time.Second * 3 / 4})
		j.check(t, 1, 1)
	})
}

// Whoever comes while a withdrawn call is still ending has one of its own.
func TestWhoComesWhenACallWasWithdrawnAsksAgain(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onRun = func(ctx context.Context, key, begun string) (string, error) {
			result, err := untilTheEnd(ctx, key, begun)
			if err != nil {
				time.Sleep(time.Second) // it takes its time
			}
			return result, err
		}
		left := askFor(leaving(t), g, "a")
		checkGot(t, left, got{"", context.DeadlineExceeded, time.Second / 4})
		checkGot(t, askFor(t.Context(), g, "a"), got{"a", nil, 2 * time.Second})
		j.check(t, 2, 1)
	})
}

func TestCallThatGoesOnIsRaisedForAsLongAsSomebodyWaits(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.goesOn, j.onRun = true, untilTheEnd
		g.start("a")
		synctest.Wait()
		if n := j.raises.Load(); n != 0 {
			t.Errorf("raised %d times for nobody", n)
		}
		first, second := askFor(leaving(t), g, "a"), askFor(leaving(t), g, "a")
		if n := j.raises.Load(); n != 1 {
			t.Errorf("raised %d times, want once", n)
		}
		checkGot(t, first, got{"", context.DeadlineExceeded, time.Second / 4})
		checkGot(t, second, got{"", context.DeadlineExceeded, time.Second / 4})
		if n := j.raises.Load(); n != 0 {
			t.Error("it is raised while nobody waits any more")
		}
		last := askFor(t.Context(), g, "a")
		if n := j.raises.Load(); n != 1 {
			t.Error("it was not raised again")
		}
		checkGot(t, last, got{"a", nil, time.Second * 3 / 4})
		j.check(t, 1, 1)
	})
}

func TestWhoLeavesGetsWhatTheStepsSay(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		queued := errors.New("queued")
		j.onLeft = func(key, begun string, cause error) error {
			if key != "a" || begun != "for somebody" || cause != context.DeadlineExceeded {
				t.Errorf("told %q, %q, %v", key, begun, cause)
			}
			return queued
		}
		checkGot(t, askFor(leaving(t), g, "a"), got{"", queued, time.Second / 4})
	})
}

// That nobody waits for it any more is no reason to end a result that others may have, too.
func TestResultOfAWithdrawnCallIsKept(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onRun = func(_ context.Context, key, _ string) (string, error) {
			time.Sleep(time.Second) // it does not look at its context
			return key, nil
		}
		j.onKeep = func(result string, err, lost error) (string, error) {
			if err != nil || lost != nil {
				t.Errorf("nobody may have the result: %v, %v", err, lost)
			}
			return result, nil
		}
		checkGot(t, askFor(leaving(t), g, "a"), got{"", context.DeadlineExceeded, time.Second / 4})
		checkGot(t, askFor(t.Context(), g, "a"), got{"a", nil, time.Second * 3 / 4})
		j.check(t, 1, 1)
	})
}

func TestCloseComesBeforeAWithdrawal(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onRun = func(ctx context.Context, _, _ string) (string, error) {
			time.Sleep(time.Second) // it takes its time
			return "", context.Cause(ctx)
		}
		checkGot(t, askFor(leaving(t), g, "a"), got{"", context.DeadlineExceeded, time.Second / 4})
		joined := askFor(t.Context(), g, "a")
		synctest.Wait()
		g.close(errEnd)
		checkGot(t, joined, got{"", errEnd, time.Second * 3 / 4})
		j.check(t, 1, 1)
	})
}

func TestResultThatIsNewIsNotDiscarded(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.isNew = true
		result := askFor(t.Context(), g, "a")
		synctest.Wait()
		done, err := g.discard("a")
		if err != nil {
			t.Fatal(err)
		}
		done()
		checkGot(t, result, got{"a1", nil, time.Second})
		j.check(t, 1, 0)
	})
}
