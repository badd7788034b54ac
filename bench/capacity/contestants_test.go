package main

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// start returns a contestant's getter, and how many logins there were.
func start(t *testing.T, c contestant, s settings) (getter, *looker) {
	t.Helper()
	l := newLooker(s, 2, steadyMean)
	get, stop, err := c.start(l, s, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.underWay.Wait()
		stop()
	})
	return get, l
}

func TestEveryContestantKeepsTokensUntilTheyAge(t *testing.T) {
	for _, c := range contestants {
		synctest.Test(t, func(t *testing.T) {
			get, l := start(t, c, defaults)
			ask := func(user int) (waited time.Duration) {
				begun := time.Now()
				if err := get(t.Context(), user); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				return time.Since(begun)
			}
			logins := func(want int, when string) {
				t.Helper()
				l.underWay.Wait()
				l.mu.Lock()
				defer l.mu.Unlock()
				if len(l.begun) != want {
					t.Errorf("%s: %d logins %s, want %d", c.name, len(l.begun), when, want)
				}
			}
			if ask(0) == 0 || ask(0) > 0 || ask(1) == 0 {
				t.Errorf("%s: not the first request of each user waits, and no other", c.name)
			}
			logins(2, "at first")
			time.Sleep(54 * time.Minute)
			if ask(0) > 0 {
				t.Errorf("%s: waited before the last 5 minutes", c.name)
			}
			logins(2, "after 54 minutes")
			time.Sleep(6 * time.Minute)
			ask(0)
			logins(3, "after an hour")
		})
	}
}

func TestCallersOfEveryContestantShareALoginAndLeaveInTime(t *testing.T) {
	for _, c := range contestants {
		synctest.Test(t, func(t *testing.T) {
			get, l := start(t, c, settings{Slots: 1, Seed: 1})
			_ = get(t.Context(), 1) // lookerauth logs its service account in, too
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					if err := get(ctx, 0); err == nil {
						t.Errorf("%s: a token after 1ms", c.name)
					}
				})
				all.Go(func() {
					if err := get(t.Context(), 0); err != nil {
						t.Errorf("%s: %v", c.name, err)
					}
				})
			}
			all.Wait()
			if len(l.begun) != 2 {
				t.Errorf("%s: %d logins of two users", c.name, len(l.begun))
			}
		})
	}
}

func TestLookerauthSendsNoMoreThanLookerServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := settings{Slots: 3, Seed: 1}
		alone := []time.Duration{
			logIn(newLooker(idle, 2, steadyMean), service)[0],
			logIn(newLooker(idle, 2, steadyMean), 0)[0],
			logIn(newLooker(idle, 2, steadyMean), 1)[0],
		}
		l := newLooker(idle, 2, steadyMean)
		get, stop, err := startLookerauth(l, settings{Slots: 1}, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		begun := time.Now()
		var all sync.WaitGroup
		for user := range 2 {
			all.Go(func() {
				if err := get(t.Context(), user); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took, want := time.Since(begun), alone[0]+alone[1]+alone[2]; took != want {
			t.Errorf("three logins took %v, want %v: one after the other", took, want)
		}
	})
}

func TestCallersOfOAuth2LeaveInTimeAndItsLoginGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get, l := start(t, contestants[1], settings{Slots: 1, Seed: 1})
		whole := logIn(newLooker(settings{Slots: 1, Seed: 1}, 2, steadyMean), 0)[0]
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		begun := time.Now()
		var all sync.WaitGroup
		leaves := func(after time.Duration) {
			all.Go(func() {
				if err := get(ctx, 0); err == nil || time.Since(begun) != after {
					t.Errorf("error %v after %v, want one after %v", err, time.Since(begun), after)
				}
			})
			synctest.Wait()
		}
		leaves(whole) // Token has no context
		leaves(time.Millisecond)
		all.Wait()
		if err := get(t.Context(), 0); err != nil || len(l.begun) != 1 {
			t.Errorf("error %v after %d logins, want the token of the first", err, len(l.begun))
		}
	})
}
