package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
)

const (
	atOnce         = 16 // logins in flight: Config.MaxConcurrentLogins' default
	callersPerUser = 4
	loginTime      = 5 * time.Millisecond
)

// BenchmarkColdStart measures how long it takes until the last of many callers has its token when
// no user has one. The ideal is that 16 logins are under way at all times. The floor is the ideal
// on this machine, where a sleep of 5 ms takes a little longer. The service account's login, the
// first one, is not a part of the ideal.
func BenchmarkColdStart(b *testing.B) {
	users := 10_000
	if testing.Short() {
		users = 20 * atOnce
	}
	ids := userIDs(users)
	b.Run("lookerauth", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			fake := &looker{delay: loginTime}
			cache := fake.newCache(users)
			b.StartTimer()
			err := coldStart(cache, ids)
			b.StopTimer()
			if logins := fake.logins.Load(); err != nil || logins != int64(users)+1 {
				b.Fatalf("%d logins for %d users and the service account, and the error %v",
					logins, users, err)
			}
			if err := cache.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		reportIdeal(b, users)
	})
	b.Run("sleep", func(b *testing.B) {
		for b.Loop() {
			sleepInTurn(users)
		}
		reportIdeal(b, users)
	})
}

// coldStart asks for every user's token from several goroutines at once.
func coldStart(cache *lookerauth.Cache, ids []string) error {
	var failure atomic.Value
	var callers sync.WaitGroup
	for _, userID := range ids {
		for range callersPerUser {
			callers.Go(func() {
				t, err := cache.User(userID).TokenContext(context.Background())
				if err == nil && t.AccessToken != tokenOf(userID) {
					err = fmt.Errorf("user %s got the token %q", userID, t.AccessToken)
				}
				if err != nil {
					failure.Store(err)
				}
			})
		}
	}
	callers.Wait()
	err, _ := failure.Load().(error)
	return err
}

// sleepInTurn sleeps once for every user, 16 at a time.
func sleepInTurn(users int) {
	var turns atomic.Int64
	var sleepers sync.WaitGroup
	for range atOnce {
		sleepers.Go(func() {
			for turns.Add(1) <= int64(users) {
				time.Sleep(loginTime)
			}
		})
	}
	sleepers.Wait()
}

// reportIdeal says how many times the ideal one iteration took.
func reportIdeal(b *testing.B, users int) {
	ideal := loginTime * time.Duration(users/atOnce)
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(ideal), "x-ideal")
}

func TestColdStartLogsEveryUserInOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users = 20 * atOnce
		fake := &looker{delay: loginTime}

		start := time.Now()
		err := coldStart(fake.newCache(users), userIDs(users))
		elapsed := time.Since(start)

		if logins := fake.logins.Load(); err != nil || logins != users+1 {
			t.Errorf("%d logins for %d users and the service account, and the error %v",
				logins, users, err)
		}
		if ideal := loginTime * users / atOnce; elapsed != ideal+loginTime {
			t.Errorf("took %v of simulated time, want the ideal, %v, and one login more",
				elapsed, ideal)
		}
	})
}

func TestColdStartFloorIsTheIdeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users = 20 * atOnce
		start := time.Now()
		sleepInTurn(users)
		if elapsed, ideal := time.Since(start), loginTime*users/atOnce; elapsed != ideal {
			t.Errorf("took %v of simulated time, want %v", elapsed, ideal)
		}
	})
}
