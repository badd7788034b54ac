package incidents

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// A state is told until a login shows that it is over. It must not become another alert meanwhile,
// as failed logins are long ago.
func TestOutageIsToldWithoutAnotherCauseWhileNobodyCalls(t *testing.T) {
	incident{
		begins: fails(lookertest.Fault{Drop: true}, lookertest.OpLogin, lookertest.OpLoginUser),
		lasts:  5 * time.Minute,
		ends: func(s *service) {
			s.asleep.Store(true)
			works(s)
			time.Sleep(8 * time.Hour)
			s.asleep.Store(false)
		},
		over:   "INFO logins work again op=login_user reason=unavailable",
		harms:  true,
		health: ofUsers,
		why:    "no answer",
		alerts: []string{"LookerauthLookerAway"},
	}.play(t)
}

func TestLongQueueIsTold(t *testing.T) {
	incident{
		users: []int{3000}, // of 200, few want a login at the same time
		begins: func(s *service) {
			s.restart(0, func(cfg *lookerauth.Config) { cfg.MaxConcurrentLogins = 1 })
			fails(lookertest.Fault{Delay: 4 * time.Second}, lookertest.OpLoginUser)(s)
		},
		lasts: 10 * time.Minute,
		ends: func(s *service) {
			works(s)
			s.restart(0, nil)
		},
		harms:  true,
		figure: func(s lookerauth.Stats) uint64 { return s.WaitsLeft },
		alerts: []string{"LookerauthCallersGiveUp"},
	}.play(t)
}

// It is nobody's failure but each user's own, and yet there is harm.
func TestAnotherLookersUsersAreTold(t *testing.T) {
	incident{
		begins: func(s *service) { s.looker.SetUsers(lookertest.User{ID: "9"}) },
		lasts:  110 * time.Minute,
		ends:   func(s *service) { s.looker.SetUsers(everybody(s, "")...) },
		heals:  75 * time.Minute,
		lines:  []string{"WARN login failed op=login_user status=404 reason=not_found"},
		over:   "INFO logins work again op=login_user reason=not_found",
		harms:  true,
		figure: func(s lookerauth.Stats) uint64 { return s.UserLogins.Failed.NotFound },
		alerts: []string{"LookerauthCallersHarmed"},
	}.play(t)
}

// Whoever is alone may be refused for himself alone.
func TestLostAdminRightIsToldWhereThereIsOneUser(t *testing.T) {
	incident{
		users:  []int{1},
		begins: func(s *service) { s.looker.SetAdmin(false) },
		lasts:  50 * time.Minute,
		ends:   func(s *service) { s.looker.SetAdmin(true) },
		heals:  75 * time.Minute,
		lines:  []string{"WARN login failed op=login_user status=403 reason=refused"},
		harms:  true,
		figure: func(s lookerauth.Stats) uint64 { return s.UserLogins.Failed.Refused },
		alerts: []string{"LookerauthCallersHarmed"},
	}.play(t)
}

// once makes the first call of this kind, for the first user, meet the fault.
func once(fault lookertest.Fault, op lookertest.Op) func(*service) {
	return func(s *service) {
		var met atomic.Bool
		s.looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			isOther := op == lookertest.OpLoginUser && call.UserID != userID(0)
			if call.Op != op || isOther || met.Swap(true) {
				return lookertest.Fault{}
			}
			return fault
		})
	}
}

func TestWhatHappensOnceAlarmsNobody(t *testing.T) {
	badGateway := lookertest.Fault{Status: http.StatusBadGateway}
	pause := lookertest.Fault{
		Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"3"}},
	}
	slow := lookertest.Fault{Delay: 8 * time.Second}
	for name, begins := range map[string]func(*service){
		"a refresh of the service account that fails": once(badGateway, lookertest.OpLogin),
		"a refresh that fails":                        once(badGateway, lookertest.OpLoginUser),
		"a pause in a refresh of the service account": once(pause, lookertest.OpLogin),
		"a pause in a refresh":                        once(pause, lookertest.OpLoginUser),
		"a slow refresh":                              once(slow, lookertest.OpLoginUser),
		"a call of the Store that fails":              func(s *service) { s.store.failOnce() },
		"a value that is spoilt":                      func(s *service) { s.store.spoilOne() },
	} {
		t.Run(name, func(t *testing.T) {
			incident{
				users: []int{5, 200}, processes: 2, brief: true,
				begins: begins, lasts: 40 * time.Minute, ends: works,
			}.play(t)
		})
	}
}
