package incidents

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// wrongClock is a clock that may be ahead.
type wrongClock struct{ ahead atomic.Int64 }

func (c *wrongClock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *wrongClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// nothing happens.
func nothing(*service) {}

func TestHealthyFleetAlarmsNobody(t *testing.T) {
	incident{
		processes: 3,
		begins:    nothing,
		lasts:     10 * time.Minute,
		ends:      nothing,
		figure:    func(s lookerauth.Stats) uint64 { return s.StoreHits },
	}.play(t)
}

// storeFails is an incident in which each call of the Store meets this.
func storeFails(meet func(context.Context) error, line string) incident {
	return incident{
		processes: 3,
		begins:    func(s *service) { s.store.onCall(meet) },
		lasts:     10 * time.Minute,
		ends:      func(s *service) { s.store.onCall(nil) },
		lines:     []string{line},
		over:      "INFO store works again",
		figure:    func(s lookerauth.Stats) uint64 { return s.StoreErrors },
		alerts:    []string{"LookerauthStoreFails"},
	}
}

func TestFailingStoreIsTold(t *testing.T) {
	refused := func(context.Context) error { return errors.New("connection refused") }
	storeFails(refused, "WARN store failed op=swap limit=750ms error=connection refused").play(t)
}

func TestSlowStoreIsTold(t *testing.T) {
	slow := func(ctx context.Context) error {
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	storeFails(slow, "WARN store failed limit=750ms error=no answer in time").play(t)
}

// miskeyed is a process with other keys. What it has stored by then lasts for an hour.
func miskeyed() incident {
	return incident{
		processes: 3,
		begins: func(s *service) {
			s.restart(2, func(cfg *lookerauth.Config) { cfg.StoreKeys = storeKeys('b') })
		},
		lasts:   10 * time.Minute,
		ends:    func(s *service) { s.restart(2, nil) },
		heals:   80 * time.Minute,
		process: 2,
		lines:   []string{"WARN stored value does not open"},
		figure:  func(s lookerauth.Stats) uint64 { return s.StoreUnopened },
		alerts:  []string{"LookerauthProcessMiskeyed"},
	}
}

func TestMiskeyedProcessIsTold(t *testing.T) { miskeyed().play(t) }

// clockAhead is a process whose clock is ahead. Its peers tell.
func clockAhead() incident {
	var clock *wrongClock
	return incident{
		processes: 3,
		begins: func(s *service) {
			clock = &wrongClock{}
			clock.ahead.Store(int64(2 * time.Hour)) // first: a login would take as long
			s.restart(2, func(cfg *lookerauth.Config) { cfg.Clock = clock })
		},
		lasts:  10 * time.Minute,
		ends:   func(*service) { clock.ahead.Store(0) },
		heals:  80 * time.Minute,
		lines:  []string{"WARN stored token is from the future"},
		figure: func(s lookerauth.Stats) uint64 { return s.StoreAhead },
		alerts: []string{"LookerauthClockOff"},
	}
}

func TestClockAheadIsTold(t *testing.T) { clockAhead().play(t) }

func TestTroubleWithTheStoreIsToldWhereUsersAreFew(t *testing.T) {
	refused := func(context.Context) error { return errors.New("connection refused") }
	for name, i := range map[string]incident{
		"it fails":                 storeFails(refused, "WARN store failed"),
		"a process has other keys": miskeyed(),
		"a clock is ahead":         clockAhead(),
	} {
		t.Run(name, func(t *testing.T) {
			i.users, i.lasts, i.heals = []int{5}, 5*time.Hour, 5*time.Hour
			i.play(t)
		})
	}
}

func TestTooFewMaxUsersAreTold(t *testing.T) {
	incident{
		begins: func(s *service) {
			s.restart(0, func(cfg *lookerauth.Config) { cfg.MaxUsers = s.users / 2 })
			fails(lookertest.Fault{Status: http.StatusForbidden}, lookertest.OpLogout)(s)
		},
		lasts: 5 * time.Minute,
		ends: func(s *service) {
			works(s)
			s.restart(0, nil)
		},
		heals:  70 * time.Minute, // the alert looks back for an hour
		lines:  []string{"WARN logout failed op=logout status=403 reason=refused"},
		figure: func(s lookerauth.Stats) uint64 { return min(s.LiveEvictions, s.FailedLogouts) },
		alerts: []string{"LookerauthThrash"},
	}.play(t)
}

func TestShutdownThatIsCutShortIsTold(t *testing.T) {
	incident{
		begins: func(s *service) {
			fails(lookertest.Fault{Delay: time.Second}, lookertest.OpLogout)(s)
			ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
			defer cancel()
			err := s.processes[0].Load().Close(ctx)
			if !errors.Is(err, context.DeadlineExceeded) {
				s.t.Errorf("Close returned %v", err)
			}
		},
		lasts:  time.Minute,
		ends:   works,
		lines:  []string{"WARN logout failed op=logout", "INFO closed"},
		figure: func(s lookerauth.Stats) uint64 { return s.FailedLogouts },
	}.play(t)
}
