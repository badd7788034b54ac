package lookerauth_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// synctestEpoch is when time starts in a bubble.
var synctestEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// steppedClock is the time package's clock, set back or forward.
type steppedClock struct {
	mu     sync.Mutex
	offset time.Duration // guarded by mu
}

func (c *steppedClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *steppedClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// slowClock is a clock that takes ten times as long as the simulated one.
type slowClock struct{}

func (slowClock) Now() time.Time {
	return synctestEpoch.Add(time.Since(synctestEpoch) / 10)
}

func (slowClock) After(d time.Duration) <-chan time.Time { return time.After(10 * d) }

// fuzzClock stands still, and what waits for it waits for ever.
type fuzzClock struct{}

func (fuzzClock) Now() time.Time                       { return synctestEpoch }
func (fuzzClock) After(time.Duration) <-chan time.Time { return nil }

// stepsOfAllSizes are what a clock may be set by: next to nothing, about a LoginTimeout or a
// token's life, and more.
var stepsOfAllSizes = []time.Duration{
	time.Millisecond, time.Second, 10 * time.Second, 20 * time.Second, 29900 * time.Millisecond,
	30 * time.Second, 59 * time.Second, time.Minute, time.Hour, 24 * time.Hour, 1000 * time.Hour,
}

func TestStepOfTheClockFailsNoLogin(t *testing.T) {
	for _, size := range stepsOfAllSizes {
		for _, by := range []time.Duration{size, -size} {
			for moment := 50 * time.Millisecond; moment < 2*time.Second; moment *= 2 {
				t.Run(fmt.Sprint(by, " after ", moment), func(t *testing.T) {
					simulate(t, func(t *testing.T, looker *lookertest.Server) {
						clock := &steppedClock{}
						user := newCache(t, looker, withClock(clock)).User("789")
						slow := lookertest.Fault{Status: 503, Delay: 400 * time.Millisecond}
						passes := delayed(400 * time.Millisecond)
						looker.FailNext(lookertest.OpLogin, slow, slow, passes)
						looker.FailNext(lookertest.OpLoginUser, slow, slow, passes)
						got := tokenInBackground(user)
						time.Sleep(moment)
						clock.step(by)
						checkError(t, <-got, nil)
					})
				})
			}
		}
	}
}

// A token that is sent past its end, as the clock was set back, is replaced.
func TestStepsOfTheClockEndNoRequestIn401(t *testing.T) {
	for seed := range uint64(100) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.SetTokenLife(time.Minute)
			clock, random := &steppedClock{}, rand.New(rand.NewPCG(seed, 0))
			cache := newCache(t, looker, withClock(clock))
			client := cache.User("789").Client()
			steps, start := 0, time.Now()
			for range 100 {
				if random.IntN(3) == 0 {
					by := stepsOfAllSizes[random.IntN(len(stepsOfAllSizes))]
					clock.step(by * time.Duration(1-2*random.IntN(2)))
					steps++
				}
				answersAs(t, client, looker, "789")
				time.Sleep(time.Duration(random.Int64N(int64(time.Minute / 4))))
			}
			// Each life ends and each step costs a login, and one more if a step back had shown
			// the token younger than it is.
			most := 2 * (1 + steps + int(time.Since(start)/(39*time.Second)))
			if n := looker.Count(lookertest.OpLoginUser, ""); n > most {
				t.Errorf("%d logins after %d steps, want %d at most", n, steps, most)
			}
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
}
