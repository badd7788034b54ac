package main

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func steadyMean(time.Duration) time.Duration { return meanLogin }

func TestLoginsHaveTheirMeanAndATail(t *testing.T) {
	const n = 200_000
	draws := rand.New(rand.NewPCG(1, 2))
	var sum time.Duration
	over := 0
	for range n {
		d := loginTime(time.Second, draws.NormFloat64())
		sum += d
		if d > 3*time.Second {
			over++
		}
	}
	if mean := sum / n; mean < 990*time.Millisecond || mean > 1010*time.Millisecond {
		t.Errorf("the mean is %v, want 1s", mean)
	}
	if share := float64(over) / n; share < 0.009 || share > 0.011 {
		t.Errorf("%.3f take more than three times the mean, want 0.01", share)
	}
}

func TestNoLoginIsOutOfBounds(t *testing.T) {
	for normal, want := range map[float64]time.Duration{
		math.Inf(-1): 50 * time.Millisecond,
		-5:           50 * time.Millisecond,
		5:            5 * time.Second,
		math.Inf(1):  5 * time.Second,
	} {
		if got := loginTime(meanLogin, normal); got != want {
			t.Errorf("at %v a login takes %v, want %v", normal, got, want)
		}
	}
}

// logIn logs the users in at once, each of them a moment after the one before, and returns how long
// each of them waited.
func logIn(l *looker, users ...int) (waited []time.Duration) {
	waited = make([]time.Duration, len(users))
	var all sync.WaitGroup
	for i, user := range users {
		all.Go(func() {
			begun := time.Now()
			if err := l.login(context.Background(), user); err != nil {
				panic(err) // it has no reason to fail
			}
			waited[i] = time.Since(begun)
		})
		time.Sleep(time.Nanosecond)
	}
	all.Wait()
	return waited
}

func TestLookerServesSoManyAtOnceInTheOrderOfComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings{Slots: 2, Seed: 1}
		alone := make([]time.Duration, 4)
		for user := range alone {
			alone[user] = logIn(newLooker(s, 4, steadyMean), user)[0]
		}
		got := logIn(newLooker(s, 4, steadyMean), 0, 1, 2, 3)

		const moments = 10 * time.Nanosecond
		first, second := min(alone[0], alone[1]), max(alone[0], alone[1])
		want := []time.Duration{alone[0], alone[1], first + alone[2]}
		want = append(want, min(second, want[2])+alone[3])
		for user := range want {
			if late := want[user] - got[user]; late < -moments || late > moments {
				t.Errorf("user %d waited %v, want %v", user, got[user], want[user])
			}
		}
	})
}

func TestUsersNextLoginTakesAsLongWhateverOthersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings{Slots: 1, Seed: 1}
		l := newLooker(s, 2, steadyMean)
		alone := []time.Duration{logIn(l, 1)[0], logIn(l, 1)[0]}
		l = newLooker(s, 2, steadyMean)
		logIn(l, 0)
		among := logIn(l, 1)
		logIn(l, service)
		logIn(l, 0)
		among = append(among, logIn(l, 1)...)
		if !slices.Equal(alone, among) || alone[0] == alone[1] {
			t.Errorf("two logins took %v alone and %v among others", alone, among)
		}
		if len(l.begun) != 4 {
			t.Errorf("%d logins counted, want 4: the service account is no user", len(l.begun))
		}
		s.Seed++
		if other := logIn(newLooker(s, 2, steadyMean), 1)[0]; other == alone[0] {
			t.Errorf("%v with another seed, too", other)
		}
	})
}

func TestLoginThatIsCutOffKeepsLookerBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings{Slots: 1, Seed: 1}
		whole := logIn(newLooker(s, 2, steadyMean), 0)[0]
		own := logIn(newLooker(s, 2, steadyMean), 1)[0]

		l := newLooker(s, 2, steadyMean)
		ctx, cancel := context.WithTimeout(t.Context(), whole/2)
		defer cancel()
		var left sync.WaitGroup
		start := time.Now()
		left.Go(func() {
			if err := l.login(ctx, 0); err == nil || time.Since(start) != whole/2 {
				t.Errorf("left after %v with the error %v", time.Since(start), err)
			}
		})
		synctest.Wait()
		left.Go(func() { // this one leaves before its turn, and is never served
			if err := l.login(ctx, 0); err == nil || time.Since(start) != whole/2 {
				t.Errorf("the second left after %v with the error %v", time.Since(start), err)
			}
		})
		if got, want := logIn(l, 1)[0], whole+own; got != want {
			t.Errorf("the next one waited %v, want %v", got, want)
		}
		left.Wait()
		if len(l.begun) != 2 {
			t.Errorf("%d logins were served, want 2", len(l.begun))
		}
	})
}
