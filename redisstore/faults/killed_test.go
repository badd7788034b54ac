//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

// newProcesses starts one with each of the clocks.
func newProcesses(t *testing.T, l *looker, redis string, clocks ...clockSettings) (all []*started) {
	t.Helper()
	for i, c := range clocks {
		name := fmt.Sprint("process-", i)
		all = append(all, start(t, l, settings{Name: name, Redis: redis, Clock: c}))
	}
	return all
}

// A process is killed while it logs everybody in. That costs a login of each user whose lease it
// had. Of the others one is watching the leases until they are over, and takes them over; two see
// that one's leases, which are never over by their clocks.
func TestKilledProcessCostsALoginOfEachLeaseItHad(t *testing.T) {
	const leases = 16 // as many as a process may have at once
	l := newLooker(t)
	all := newProcesses(t, l, redisserver.New(t).Addr, clockSettings{Pace: "still"},
		clockSettings{Pace: "looks"}, clockSettings{Pace: "still"}, clockSettings{Pace: "still"})
	victim, others := all[0], all[1:]
	_, err := victim.do(command{Op: "token"})
	check(t, err)
	l.FailFunc(func(r lookertest.Request) (f lookertest.Fault) {
		if r.Header.Get(processHeader) == victim.name && r.Op == lookertest.OpLoginUser {
			f.Delay = time.Hour
		}
		return f
	})
	var callers sync.WaitGroup
	for i := range leases {
		callers.Go(func() {
			_, err := victim.do(command{Op: "request", UserID: fmt.Sprint("user-", i)})
			if !errors.Is(err, errEnded) {
				t.Errorf("a request of the killed process: %v", err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	if !l.await(victim.name, leases, ctx.Done(), victim.kill) {
		t.Fatal("the victim does not get the leases")
	}
	callers.Wait()
	requestAll(t, others, "user", leases)
	if n := l.Count(lookertest.OpLoginUser, ""); n != 2*leases {
		t.Errorf("%d logins, want %d of the killed process and as many of the others", n, leases)
	}
	if n := l.Count(lookertest.OpLogin, ""); n != 1 {
		t.Errorf("%d logins of the service account, want 1", n)
	}
}

// Clocks are some seconds apart: each user is logged in once, as if they were not.
func TestClocksSecondsApartCostNoLogin(t *testing.T) {
	l := newLooker(t)
	var clocks []clockSettings
	for _, seconds := range []time.Duration{0, -5, 2, 30} {
		clocks = append(clocks, clockSettings{seconds * time.Second, "still"})
	}
	all := newProcesses(t, l, redisserver.New(t).Addr, clocks...)
	requestAll(t, all, "user", users)
	if n := l.Count(lookertest.OpLoginUser, ""); n != users {
		t.Errorf("%d logins of %d users", n, users)
	}
	checkNoRejection(t, all)
}

// Clocks are hours apart, more than a token lives. What a clock behind has issued is too old for
// all those ahead of it. What one ahead has issued is as good as new for those behind. So each
// process logs each user in once at most, as without a Store, and no token is rejected.
func TestClocksHoursApartCostEachProcessALoginAtMost(t *testing.T) {
	l := newLooker(t)
	var clocks []clockSettings
	for _, hours := range []time.Duration{0, -2, 3, 6} {
		clocks = append(clocks, clockSettings{hours * time.Hour, "still"})
	}
	all := newProcesses(t, l, redisserver.New(t).Addr, clocks...)
	for range 2 { // the second time they have all that they need
		requestAll(t, all, "user", users)
	}
	if n := l.Count(lookertest.OpLoginUser, ""); n < users || n > users*len(all) {
		t.Errorf("%d logins of %d users in %d processes", n, users, len(all))
	}
	checkNoRejection(t, all)
}

func checkNoRejection(t *testing.T, all []*started) {
	t.Helper()
	for _, p := range all {
		if stats := p.stats; stats.Rejections > 0 || stats.StoreErrors > 0 {
			t.Errorf("%s: %d rejections, %d errors of Redis", p.name, stats.Rejections,
				stats.StoreErrors)
		}
	}
}
