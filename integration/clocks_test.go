package integration

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/jonboulle/clockwork"

	"github.com/lookerauth/lookerauth/lookertest"
)

// checkTokenLivesForAnHour fails the test if a token is not used for as long as it lives, by the
// time that move moves, and replaced then.
func checkTokenLivesForAnHour(
	t *testing.T, looker *lookertest.Server, move func(time.Duration),
) {
	t.Helper()
	cache := newCache(t, looker.Config())
	for range 3 {
		checkMe(t, sdkOf(looker, cache.User("789")), "789")
		move(45 * time.Minute)
	}
	checkLogins(t, looker, 2)
	checkReplays(t, cache, 0) // no request was made with a dead token
}

func TestMockOfBenbjohnsonIsAClock(t *testing.T) {
	now := clock.NewMock()
	looker := lookertest.New(t, lookertest.WithClock(now))
	checkTokenLivesForAnHour(t, looker, now.Add)
}

func TestFakeClockOfClockworkIsAClock(t *testing.T) {
	now := clockwork.NewFakeClock()
	looker := lookertest.New(t, lookertest.WithClock(now)) // looker.Config() has it, too
	checkTokenLivesForAnHour(t, looker, now.Advance)
}

func TestBubbleOfSynctestNeedsNoClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looker := lookertest.New(t, lookertest.InMemory())
		checkTokenLivesForAnHour(t, looker, time.Sleep)
	})
}

// A second try has its time by itself.
func TestBubbleOfSynctestLetsTimePassForWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looker := lookertest.New(t, lookertest.InMemory())
		looker.FailNext(lookertest.OpLoginUser, lookertest.Fault{Status: 503})
		start := time.Now()
		checkMe(t, sdkOf(looker, newCache(t, looker.Config()).User("789")), "789")
		if time.Since(start) == 0 {
			t.Error("the second try came at once")
		}
		checkLogins(t, looker, 2)
	})
}
