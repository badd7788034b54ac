package lookerauth

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A caller may join a call just before it ends, and only then tell singleflight to run it.
func TestCallThatIsRunTwiceHasOneResult(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		c, first, err := g.join(t.Context(), "a", true)
		late, again, _ := g.join(t.Context(), "a", true)
		if !first || again || late != c || err != nil {
			t.Fatalf("joined first: %v and %v, %v", first, again, err)
		}
		j.onRun = func(context.Context, string, string) (string, error) { return "one", errJob }
		for range 2 {
			r := <-g.results.DoChan(c.name, c.run)
			if r.Val != "one" || r.Err != errJob {
				t.Errorf("it has %v, %v", r.Val, r.Err)
			}
		}
		g.running.Done() // as get does, which reports
		j.reports.Add(1)
		g.running.Wait() // there is nothing more to wait for
		j.check(t, 1, 0)

		j.onRun = nil
		next := askFor(t.Context(), g, "a")
		r := <-g.results.DoChan(late.name, late.run)
		if r.Val != "one" {
			t.Errorf("while another call is under way, it has %v", r.Val)
		}
		checkGot(t, next, got{"a2", nil, time.Second})
		j.check(t, 2, 0)
	})
}

func TestDiscardedResultIsAskedForAgain(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		var lost []error
		j.onKeep = func(result string, err, why error) (string, error) {
			lost = append(lost, why)
			return result, why
		}
		first, joined := askFor(t.Context(), g, "a"), askFor(t.Context(), g, "a")
		done, err := g.discard("a")
		if err != nil {
			t.Error(err)
		}
		done()
		late := askFor(t.Context(), g, "a") // joins the call all the same
		for _, answer := range []<-chan got{first, joined, late} {
			checkGot(t, answer, got{"a2", nil, 2 * time.Second})
		}
		j.check(t, 2, 4)
		if len(lost) != 2 || lost[0] != errAgain || lost[1] != nil {
			t.Errorf("results were lost for %v", lost)
		}
	})
}

func TestDiscardConcernsOnlyTheCallUnderWay(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		discard := func(key string) {
			done, err := g.discard(key)
			if err != nil {
				t.Error(err)
				return
			}
			done()
		}
		discard("a") // there is none yet
		g.start("b")
		synctest.Wait()
		answer := askFor(t.Context(), g, "a")
		discard("b")
		checkGot(t, answer, got{"a2", nil, time.Second})
		j.check(t, 2, 0) // nobody asks again for what was started for nobody
	})
}

func TestCloseCancelsCallsAndLetsNoneStart(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onRun = func(ctx context.Context, key, _ string) (string, error) {
			<-ctx.Done()
			if context.Cause(ctx) != errEnd {
				t.Errorf("the job was ended by %v", context.Cause(ctx))
			}
			time.Sleep(time.Second) // before it ends
			return key, errJob
		}
		j.onKeep = func(_ string, err, lost error) (string, error) {
			if err != errJob || lost != errEnd {
				t.Errorf("%v was lost for %v", err, lost)
			}
			return "", lost
		}
		j.onRefuse = func(key string) error {
			if key == "refused" {
				return errNotNow
			}
			return nil
		}
		g.start("c")
		waiting := []<-chan got{askFor(t.Context(), g, "a"), askFor(t.Context(), g, "b")}
		if !g.close(errEnd) || g.close(errJob) {
			t.Error("close does not know which was the first")
		}
		for _, key := range []string{"a", "d", "refused"} {
			checkGot(t, askFor(t.Context(), g, key), got{"", errEnd, 0})
		}
		g.start("d")
		if done, err := g.discard("a"); done != nil || err != errEnd {
			t.Errorf("discard returned %v after close", err)
		}
		before := time.Now()
		g.running.Wait()
		if time.Since(before) != time.Second {
			t.Errorf("the calls ended after %v", time.Since(before))
		}
		for _, answer := range waiting {
			checkGot(t, answer, got{"", errEnd, time.Second})
		}
		j.check(t, 3, 0)
	})
}

func TestCloseComesBetweenRefuseAndStart(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onRefuse = func(string) error {
			g.close(errEnd)
			return nil
		}
		checkGot(t, askFor(t.Context(), g, "a"), got{"", errEnd, 0})
		j.check(t, 0, 0)
	})
}

func TestDiscardedResultStaysDiscardedWhenClosed(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onKeep = func(_ string, _, lost error) (string, error) {
			if lost != errAgain {
				t.Errorf("the result was lost for %v", lost)
			}
			return "", lost
		}
		answer := askFor(t.Context(), g, "a")
		done, _ := g.discard("a")
		g.close(errEnd)
		checkGot(t, answer, got{"", errEnd, time.Second}) // who asks again is told of the end
		j.check(t, 1, 0)
		time.AfterFunc(time.Second, done)
		before := time.Now()
		g.running.Wait()
		if time.Since(before) != time.Second {
			t.Error("close is complete before the one who discards is done")
		}
	})
}

// Who discards a result, or closes, while it is kept comes after: waiters may have it.
func TestKeptResultIsNotLostAnyMore(t *testing.T) {
	for what, comes := range map[string]func(g *group[string, string]){
		"close": func(g *group[string, string]) { g.close(errEnd) },
		"discard": func(g *group[string, string]) {
			done, _ := g.discard("a")
			done()
		},
	} {
		t.Run(what, func(t *testing.T) {
			testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
				j.onKeep = func(result string, err, lost error) (string, error) {
					began := make(chan struct{})
					go func() {
						close(began)
						comes(g)
					}()
					<-began
					return result, lost
				}
				answers := []<-chan got{askFor(t.Context(), g, "a"), askFor(t.Context(), g, "a")}
				for _, answer := range answers {
					checkGot(t, answer, got{"a1", nil, time.Second})
				}
				j.check(t, 1, 1)
			})
		})
	}
}

func TestWhoAsksAgainAfterCloseIsRefused(t *testing.T) {
	testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
		j.onKeep = func(result string, _, lost error) (string, error) {
			go g.close(errEnd)
			if lost == nil {
				lost = errAgain
			}
			return result, lost
		}
		_, err := g.get(t.Context(), "a")
		if err != errEnd {
			t.Errorf("got %v", err)
		}
	})
}

// Whoever asks after a result was discarded gets a later one, whatever else goes on.
func TestGroupUnderStress(t *testing.T) {
	for seed := range uint64(10) {
		testGroup(t, func(t *testing.T, g *group[string, string], j *jobs) {
			stress(t, g, j, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func stress(t *testing.T, g *group[string, string], j *jobs, random *rand.Rand) {
	var begun atomic.Int64                  // runs, which have numbers
	var underWay, discarded [3]atomic.Int64 // the latter is the last run before the discard
	j.onRun = func(ctx context.Context, key, _ string) (string, error) {
		if underWay[key[0]-'a'].Add(1) > 1 {
			t.Errorf("two calls for %s are under way", key)
		}
		defer underWay[key[0]-'a'].Add(-1)
		n := begun.Add(1)
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(5 * time.Millisecond)):
		}
		return fmt.Sprint(n), nil
	}
	var callers sync.WaitGroup
	for range 100 {
		key := string(rune('a' + random.IntN(3)))
		begin, stay := random.Int64N(50), random.Int64N(10)
		discards, starts := random.IntN(5) == 0, random.IntN(5) == 0
		callers.Go(func() {
			time.Sleep(time.Duration(begin) * time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(stay)*time.Millisecond)
			defer cancel()
			last := &discarded[key[0]-'a']
			if discards {
				now := begun.Load()
				if done, err := g.discard(key); err == nil {
					last.Store(now)
					done()
				}
			}
			if starts {
				g.start(key)
			}
			least := last.Load()
			result, err := g.get(ctx, key)
			var n int64
			_, _ = fmt.Sscan(result, &n)
			if err == nil && n <= least {
				t.Errorf("got the result of run %d, of those up to %d it was discarded", n, least)
			}
			if err != nil && err != ctx.Err() && err != errEnd {
				t.Error(err)
			}
		})
	}
	time.Sleep(45 * time.Millisecond)
	g.close(errEnd)
	g.running.Wait()
	ended := begun.Load()
	callers.Wait()
	j.check(t, ended, j.joins.Load())
}
