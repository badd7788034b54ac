package lookerauth

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	errJob    = errors.New("the job failed")
	errNotNow = errors.New("not now")
	errEnd    = errors.New("this is the end")
)

// jobs are steps that a test may define one by one, and count what they are asked for.
type jobs struct {
	onRefuse func(key string) error
	onRun    func(ctx context.Context, key, begun string) (string, error)
	onLeft   func(key, begun string, cause error) error
	onKeep   func(result string, err, lost error) (string, error)
	onReport func(ctx context.Context, key, result string, err error)

	goesOn bool // a call is not withdrawn
	isNew  bool // nor discarded

	refuses, runs, keeps, joins, reports, raises atomic.Int64
}

// begin says for whom the call is.
func (j *jobs) begin(_ string, waited bool) string {
	if waited {
		return "for somebody"
	}
	return "for nobody"
}

func (j *jobs) raise(string) { j.raises.Add(1) }

func (j *jobs) lower(string) { j.raises.Add(-1) }

func (j *jobs) withdraw(string) bool { return !j.goesOn }

func (j *jobs) discards(string) bool { return !j.isNew }

func (j *jobs) left(key, begun string, cause error) error {
	if j.onLeft == nil {
		return cause
	}
	return j.onLeft(key, begun, cause)
}

func (j *jobs) refuse(key string) error {
	j.refuses.Add(1)
	if j.onRefuse == nil {
		return nil
	}
	return j.onRefuse(key)
}

// run takes a second if the test does not say otherwise. The result has the number of the run.
func (j *jobs) run(ctx context.Context, key, begun string) (string, error) {
	n := j.runs.Add(1)
	if j.onRun != nil {
		return j.onRun(ctx, key, begun)
	}
	time.Sleep(time.Second)
	return fmt.Sprint(key, n), nil
}

func (j *jobs) keep(_, result string, err, lost error) (string, error) {
	j.keeps.Add(1)
	if j.onKeep != nil {
		return j.onKeep(result, err, lost)
	}
	if lost != nil {
		return "", lost
	}
	return result, err
}

func (j *jobs) joined(string) { j.joins.Add(1) }

func (j *jobs) report(ctx context.Context, key, result string, err error) {
	j.reports.Add(1)
	if j.onReport != nil {
		j.onReport(ctx, key, result, err)
	}
}

// check compares how often the jobs ran, callers joined and results were reported. Each run is
// reported once.
func (j *jobs) check(t *testing.T, runs, joins int64) {
	t.Helper()
	synctest.Wait()
	if n := j.runs.Load(); n != runs {
		t.Errorf("%d runs, want %d", n, runs)
	}
	if n := j.keeps.Load(); n != runs {
		t.Errorf("%d results were kept, want %d", n, runs)
	}
	if n := j.reports.Load(); n != runs {
		t.Errorf("%d reports, want %d", n, runs)
	}
	if n := j.joins.Load(); n != joins {
		t.Errorf("%d callers joined, want %d", n, joins)
	}
}

// testGroup runs test in a bubble in which time is simulated. In the end no call may be under way.
func testGroup(t *testing.T, test func(t *testing.T, g *group[string, string], j *jobs)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		j := &jobs{}
		g := newGroup(j)
		test(t, g, j)
		g.running.Wait()
		if len(g.calls) != 0 {
			t.Errorf("calls are still listed: %v", g.calls)
		}
	})
}

// got is what a caller got.
type got struct {
	result string
	err    error
	after  time.Duration
}

// askFor gets the key's result in the background.
func askFor(ctx context.Context, g *group[string, string], key string) <-chan got {
	answer, before := make(chan got, 1), time.Now()
	go func() {
		result, err := g.get(ctx, key)
		answer <- got{result, err, time.Since(before)}
	}()
	synctest.Wait()
	return answer
}

// checkGot compares what a caller gets.
func checkGot(t *testing.T, answer <-chan got, want got) {
	t.Helper()
	if got := <-answer; got != want {
		t.Errorf("a caller got %+v, want %+v", got, want)
	}
}

func TestGroupRunsOneCallForEachKey(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		first := askFor(t.Context(), g, "a")
		other := askFor(t.Context(), g, "b")
		time.Sleep(time.Second / 2)
		var joined []<-chan got
		for range 5 {
			joined = append(joined, askFor(t.Context(), g, "a"))
		}
		checkGot(t, first, got{"a1", nil, time.Second})
		checkGot(t, other, got{"b2", nil, time.Second})
		for _, answer := range joined {
			checkGot(t, answer, got{"a1", nil, time.Second / 2})
		}
		j.check(t, 2, 5)
		checkGot(t, askFor(t.Context(), g, "a"), got{"a3", nil, time.Second})
		j.check(t, 3, 5)
	})
}

func TestGroupHandsOutWhatWasKept(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onRun = func(_ context.Context, key, begun string) (string, error) {
			time.Sleep(time.Second)
			if begun != "for somebody" {
				t.Error("the job does not know that somebody waits")
			}
			return key, errJob
		}
		j.onKeep = func(result string, err, lost error) (string, error) {
			if result != "a" || err != errJob || lost != nil {
				t.Errorf("%q, %v, %v was to be kept", result, err, lost)
			}
			if g.mu.TryLock() {
				t.Error("the group is not locked while a result is kept")
			}
			return "kept", errNotNow
		}
		j.onReport = func(_ context.Context, key, result string, err error) {
			if key != "a" || result != "kept" || err != errNotNow {
				t.Errorf("report was told %q, %q, %v", key, result, err)
			}
		}
		answers := []<-chan got{askFor(t.Context(), g, "a"), askFor(t.Context(), g, "a")}
		for _, answer := range answers {
			checkGot(t, answer, got{"kept", errNotNow, time.Second})
		}
		j.check(t, 1, 1)
	})
}

type contextKey struct{}

// leaving returns a context with a value that ends, with this cause, after a quarter of a second.
func leaving(t *testing.T) context.Context {
	ctx := context.WithValue(t.Context(), contextKey{}, "first")
	ctx, cancel := context.WithTimeout(ctx, time.Second/4)
	t.Cleanup(cancel)
	return ctx
}

func TestCallerWhoLeavesEndsNothingForOthers(t *testing.T) {
	for who, first := range map[string]bool{"the first": true, "another": false} {
		t.Run(who, func(t *testing.T) {
			testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
				contexts := []context.Context{t.Context(), leaving(t)}
				leaves := 1
				if first {
					contexts[0], contexts[1], leaves = contexts[1], contexts[0], 0
				}
				answers := []<-chan got{askFor(contexts[0], g, "a"), askFor(contexts[1], g, "a")}
				left := got{"", context.DeadlineExceeded, time.Second / 4}
				checkGot(t, answers[leaves], left)
				checkGot(t, answers[1-leaves], got{"a1", nil, time.Second})
				j.check(t, 1, int64(leaves^1))
			})
		})
	}
}

func TestJobHasTheFirstCallersValuesAndAnEndOfItsOwn(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		var ofJob context.Context
		check := func(ctx context.Context, whose string) {
			if ctx.Value(contextKey{}) != "first" || ctx.Err() != nil {
				t.Errorf("the %s's context is %v (%v)", whose, ctx, ctx.Err())
			}
		}
		j.onRun = func(ctx context.Context, _, _ string) (string, error) {
			ofJob = ctx
			time.Sleep(time.Second)
			check(ctx, "job")
			return "done", nil
		}
		j.onReport = func(ctx context.Context, _, result string, err error) {
			check(ctx, "report")
			if result != "done" || err != nil {
				t.Errorf("report was told %q, %v", result, err)
			}
		}
		j.goesOn = true
		left := askFor(leaving(t), g, "a") // which nobody joins
		checkGot(t, left, got{"", context.DeadlineExceeded, time.Second / 4})
		time.Sleep(time.Second)
		j.check(t, 1, 0)
		if ofJob.Err() == nil {
			t.Error("the job's context has not ended with the call")
		}
	})
}

func TestCallerWhoHasLeftAlreadyStartsNothing(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		checkGot(t, askFor(ctx, g, "a"), got{"", context.Canceled, 0})
		j.check(t, 0, 0)
	})
}

// A report may block, as code of the user's may. It is made in the goroutine of the first caller,
// if that is still there: what it tells comes before what the caller does next.
func TestReportComesOnceWaitersHaveTheirResults(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
			var answered atomic.Int64
			j.onReport = func(ctx context.Context, _, _ string, _ error) {
				time.Sleep(time.Second) // goes on when all others wait
				if n := answered.Load(); n != 5 {
					t.Errorf("%d of 5 waiters had their results", n)
				}
			}
			ctx, want := t.Context(), got{"a1", nil, 2 * time.Second}
			if leaves {
				ctx, want = leaving(t), got{"", context.DeadlineExceeded, time.Second / 4}
			}
			first := askFor(ctx, g, "a")
			for range 5 {
				go func() {
					_, _ = g.get(t.Context(), "a")
					answered.Add(1)
				}()
			}
			checkGot(t, first, want)
			time.Sleep(2 * time.Second)
			j.check(t, 1, 5)
		})
	}
}

func TestRefusedKeyIsNotRun(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onRefuse = func(key string) error {
			if key == "bad" {
				return errNotNow
			}
			return nil
		}
		checkGot(t, askFor(t.Context(), g, "bad"), got{"", errNotNow, 0})
		g.start("bad")
		j.check(t, 0, 0)
		checkGot(t, askFor(t.Context(), g, "good"), got{"good1", nil, time.Second})
	})
}

func TestResultThatIsNotKeptIsAskedForAgain(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onKeep = func(result string, err, lost error) (string, error) {
			if j.runs.Load() < 3 {
				return "stale", errAgain
			}
			return result, err
		}
		answers := []<-chan got{askFor(t.Context(), g, "a"), askFor(t.Context(), g, "a")}
		left := askFor(leaving(t), g, "a")
		checkGot(t, left, got{"", context.DeadlineExceeded, time.Second / 4})
		for _, answer := range answers {
			checkGot(t, answer, got{"a3", nil, 3 * time.Second})
		}
		j.check(t, 3, 3) // one of the two joins each time
	})
}

func TestWhoAsksAgainMayLeaveOrBeRefused(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onRefuse = func(string) error {
			if j.keeps.Load() == 2 {
				return errNotNow
			}
			return nil
		}
		j.onKeep = func(string, error, error) (string, error) { return "stale", errAgain }
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second/2)
		defer cancel()
		stays, leaves := askFor(t.Context(), g, "a"), askFor(ctx, g, "a")
		checkGot(t, leaves, got{"", context.DeadlineExceeded, 3 * time.Second / 2})
		checkGot(t, stays, got{"", errNotNow, 2 * time.Second})
		synctest.Wait()
		if n := j.runs.Load(); n != 2 {
			t.Errorf("%d runs, want 2", n)
		}
	})
}

func TestStartRunsOneCallForNobody(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onRun = func(ctx context.Context, key, begun string) (string, error) {
			time.Sleep(time.Second)
			if begun != "for nobody" || ctx.Value(contextKey{}) != nil {
				t.Error("the call belongs to somebody")
			}
			return key, nil
		}
		j.onReport = func(ctx context.Context, key, result string, err error) {
			if key != "a" || result != "a" || err != nil || ctx.Err() != nil {
				t.Errorf("report was told %q, %q, %v", key, result, err)
			}
		}
		g.start("a")
		g.start("a")
		synctest.Wait()
		joined := askFor(context.WithValue(t.Context(), contextKey{}, "second"), g, "a")
		g.start("a")
		checkGot(t, joined, got{"a", nil, time.Second})
		j.check(t, 1, 1)
		g.start("a")
		time.Sleep(2 * time.Second)
		j.check(t, 2, 1)
	})
}

// It is called for each request with an aging token, so it does not even ask whether it may.
func TestStartAddsNothingToACallUnderWay(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		answer := askFor(t.Context(), g, "a")
		g.start("a")
		checkGot(t, answer, got{"a1", nil, time.Second})
		j.check(t, 1, 0)
		if n := j.refuses.Load(); n != 1 {
			t.Errorf("it was asked %d times whether a call may start", n)
		}
	})
}

// It is started between the moment in which start sees none and that in which it joins.
func TestStartLosesToACallThatComesInBetween(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		goOn := make(chan struct{})
		j.onRefuse = func(string) error {
			if j.refuses.Load() == 1 {
				<-goOn
			}
			return nil
		}
		go g.start("a")
		synctest.Wait()
		answer := askFor(t.Context(), g, "a")
		close(goOn)
		checkGot(t, answer, got{"a1", nil, time.Second})
		j.check(t, 1, 0)
	})
}
