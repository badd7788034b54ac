package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// tryAll runs every contestant in simulated time, which does not depend on the machine. x/oauth2
// holds a sync.Mutex during a login, and simulated time stands still while somebody waits for that:
// it can have one worker only, and so can the SDK.
func tryAll(t *testing.T, check func(t *testing.T, c contestant, result trial, l load)) {
	t.Helper()
	for _, c := range contestants {
		l := defaults
		l.workers = 1
		if c.name == "lookerauth" {
			l.workers = 3
		}
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				result, err := try(c, lookertest.New(t, lookertest.InMemory()), l)
				if err != nil {
					t.Fatal(err)
				}
				check(t, c, result, l)
			})
		})
	}
}

func TestEveryRequestIsCountedOnce(t *testing.T) {
	tryAll(t, func(t *testing.T, _ contestant, result trial, l load) {
		until, from := result.untilRevocation(), result.fromRevocation()
		want := l.workers * int(l.duration/interval)
		if n := until.requests + from.requests; n != want || len(result.samples) != want {
			t.Errorf("%d requests in %d samples, want %d", n, len(result.samples), want)
		}
		for _, p := range []phase{until, from} {
			if len(p.latencies)+p.failures != p.requests {
				t.Errorf("%d latencies and %d failures of %d requests",
					len(p.latencies), p.failures, p.requests)
			}
		}
	})
}

func TestEveryoneLogsInBeforeTheClockStartsAndInBothPhases(t *testing.T) {
	tryAll(t, func(t *testing.T, _ contestant, result trial, _ load) {
		if n := result.beforeTheClock().logins; n != 1 {
			t.Errorf("%d logins before the clock started, want 1", n)
		}
		if result.untilRevocation().logins == 0 || result.fromRevocation().logins == 0 {
			t.Errorf("logins at %v, want some before and some after %v",
				result.logins, result.revoked)
		}
	})
}

func TestOnlyLookerauthSparesRequestsTheRevocation(t *testing.T) {
	tryAll(t, func(t *testing.T, c contestant, result trial, _ load) {
		if n := result.untilRevocation().failures; n != 0 {
			t.Errorf("%d failures before the revocation", n)
		}
		ours := c.name == "lookerauth"
		if n := result.fromRevocation().failures; (n == 0) != ours {
			t.Errorf("%d failures after the revocation", n)
		}
	})
}

func TestOnlyLookerauthSparesRequestsTheWaitForARenewal(t *testing.T) {
	tryAll(t, func(t *testing.T, c contestant, result trial, l load) {
		waited := result.untilRevocation().quantile(1) >= l.login.Seconds()
		if ours := c.name == "lookerauth"; waited == ours {
			t.Errorf("a request waited for a login: %t", waited)
		}
	})
}

func TestLatencyCountsFromWhenARequestWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stall := 5 * interval
		samples := work(func() error {
			time.Sleep(stall)
			stall = 0
			return nil
		}, time.Now(), 0, 8*interval)
		for i, s := range samples {
			if want := max(0, time.Duration(5-i)*interval); s.latency != want {
				t.Errorf("request %d: latency %v, want %v", i, s.latency, want)
			}
		}
		if len(samples) != 8 {
			t.Errorf("%d samples, want 8", len(samples))
		}
	})
}

func TestFailedFirstRequestIsReported(t *testing.T) {
	looker := lookertest.New(t)
	looker.FailNext(lookertest.OpAPI, lookertest.Fault{Status: 403})
	l := load{duration: time.Second, tokenLife: time.Second, workers: 1}
	if _, err := try(contestants[0], looker, l); err == nil {
		t.Error("no error")
	}
}

func TestQuantilesLeaveFailuresOut(t *testing.T) {
	var result trial
	for i := range 100 {
		result.samples = append(result.samples, sample{latency: time.Duration(100-i) * time.Second})
	}
	result.samples = append(result.samples, sample{latency: time.Hour, err: errors.New("refused")})
	p := result.phase(0, 2*time.Hour)
	for share, want := range map[float64]float64{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := p.quantile(share); got != want {
			t.Errorf("quantile %v is %v, want %v", share, got, want)
		}
	}
	if p.failures != 1 || p.requests != 101 {
		t.Errorf("%d failures of %d requests, want 1 of 101", p.failures, p.requests)
	}
}

func TestRequestUnderWayBelongsToTheRevocation(t *testing.T) {
	result := trial{revoked: 10 * time.Second, samples: []sample{
		{due: 9 * time.Second, latency: time.Second},
		{due: 9 * time.Second, latency: time.Second - 1},
		{due: 11 * time.Second},
	}}
	until, from := result.untilRevocation().requests, result.fromRevocation().requests
	if until != 1 || from != 2 {
		t.Errorf("%d requests until the revocation and %d from it on, want 1 and 2", until, from)
	}
}
