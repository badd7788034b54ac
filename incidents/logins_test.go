package incidents

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func ofUsers(h lookerauth.Health) lookerauth.LoginHealth          { return h.Users }
func ofServiceAccount(h lookerauth.Health) lookerauth.LoginHealth { return h.ServiceAccount }

// fails makes every call of this kind meet the fault.
func fails(fault lookertest.Fault, ops ...lookertest.Op) func(*service) {
	return func(s *service) {
		s.looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			for _, op := range ops {
				if call.Op == op {
					return fault
				}
			}
			return lookertest.Fault{}
		})
	}
}

// works ends what fails began.
func works(s *service) { s.looker.FailFunc(nil) }

func TestHealthyServiceAlarmsNobody(t *testing.T) {
	incident{begins: nothing, lasts: 10 * time.Minute, ends: nothing}.play(t)
}

func TestWrongKeyIsTold(t *testing.T) {
	var id, key string
	incident{
		begins: func(s *service) {
			cfg := s.looker.Config()
			id, key = cfg.ClientID, cfg.ClientSecret
			s.looker.SetKey(id, "another")
		},
		lasts: 15 * time.Minute, // at first there is a token yet
		ends:  func(s *service) { s.looker.SetKey(id, key) },
		lines: []string{
			"WARN login failed identity=service_account op=login status=404 reason=refused",
			"ERROR login failed identity=service_account op=login status=404 reason=refused",
		},
		over:   "INFO logins work again op=login reason=refused",
		harms:  true,
		figure: func(s lookerauth.Stats) uint64 { return s.ServiceAccount.RefreshFailed.Refused },
		health: ofServiceAccount,
		why:    "the API key was refused",
		alerts: []string{"LookerauthServiceAccountFails"},
	}.play(t)
}

func TestLostAdminRightIsTold(t *testing.T) {
	incident{
		begins: func(s *service) { s.looker.SetAdmin(false) },
		lasts:  10 * time.Minute,
		ends:   func(s *service) { s.looker.SetAdmin(true) },
		lines: []string{
			"WARN login failed op=login_user status=403 reason=refused",
			"ERROR login failed op=login_user status=403 reason=refused",
		},
		over:   "INFO logins work again op=login_user reason=refused",
		harms:  true,
		figure: func(s lookerauth.Stats) uint64 { return s.UserLogins.RefreshFailed.Refused },
		health: ofUsers,
		why:    "may not act as this user",
		alerts: []string{"LookerauthUsersRefused"},
	}.play(t)
}

func TestOutageOfLookerIsTold(t *testing.T) {
	incident{
		begins: func(s *service) {
			s.looker.FailFunc(func(lookertest.Request) lookertest.Fault {
				return lookertest.Fault{Drop: true}
			})
		},
		lasts: 5 * time.Minute,
		ends:  works,
		lines: []string{
			"WARN login failed op=login_user status=0 reason=unavailable",
			"ERROR login failed op=login_user status=0 reason=unavailable",
		},
		over:   "INFO logins work again op=login_user reason=unavailable",
		harms:  true,
		figure: func(s lookerauth.Stats) uint64 { return s.UserLogins.Failed.Unavailable },
		health: ofUsers,
		why:    "no answer",
		alerts: []string{"LookerauthLookerAway"},
	}.play(t)
}

func TestRateLimitIsTold(t *testing.T) {
	incident{
		begins: fails(lookertest.Fault{
			Status: http.StatusTooManyRequests,
			Header: http.Header{"Retry-After": {"600"}},
		}, lookertest.OpLoginUser),
		lasts: 9 * time.Minute, // it takes 5 minutes for a pause at most
		ends:  works,
		lines: []string{
			"WARN logins paused pause=5m0s",
			"ERROR login failed op=login_user status=429 reason=rate_limited",
		},
		over:   "INFO logins work again op=login_user reason=rate_limited",
		harms:  true,
		figure: func(s lookerauth.Stats) uint64 { return s.UserLogins.Failed.RateLimited },
		health: ofUsers,
		why:    "Looker asks for a pause",
		alerts: []string{"LookerauthRateLimited"},
	}.play(t)
}

func TestSlowLoginsAreTold(t *testing.T) {
	incident{
		begins: fails(lookertest.Fault{Delay: 9 * time.Second}, lookertest.OpLogin,
			lookertest.OpLoginUser),
		lasts:  10 * time.Minute,
		ends:   works,
		harms:  true,
		figure: func(s lookerauth.Stats) uint64 { return s.WaitsLeft },
		alerts: []string{"LookerauthLoginsSlow"},
	}.play(t)
}

// everybody are the users who stay, and those who come once within hours; without this one.
func everybody(s *service, without string) (users []lookertest.User) {
	for i := range 4 * s.users {
		old, new := lookertest.User{ID: userID(i)}, lookertest.User{ID: newcomerID(i)}
		users = append(users, old, new)
	}
	return slices.DeleteFunc(users, func(u lookertest.User) bool { return u.ID == without })
}

func TestDeletedUserIsTold(t *testing.T) {
	deleted := userID(7)
	incident{
		begins: func(s *service) {
			s.looker.SetUsers(everybody(s, deleted)...)
			s.looker.Revoke(deleted)
			s.send(func(userID string) bool { return userID == deleted })
		},
		lasts: 10 * time.Minute,
		ends:  func(s *service) { s.looker.SetUsers(everybody(s, "")...) },
		lines: []string{
			"INFO token rejected identity=user:107 by=request",
			"WARN login failed identity=user:107 op=login_user status=404 reason=not_found",
		},
		over:   "INFO logins work again op=login_user reason=not_found",
		harms:  true,
		figure: func(s lookerauth.Stats) uint64 { return s.UserLogins.Failed.NotFound },
	}.play(t)
}

func TestRevokedTokensAreTold(t *testing.T) {
	incident{
		begins: func(s *service) {
			s.send(func(string) bool { return true })
			s.looker.RevokeAll()
		},
		lasts: 2 * time.Minute,
		ends:  func(s *service) { s.send(func(string) bool { return false }) },
		lines: []string{
			"INFO token rejected by=request",
			"INFO token rejected identity=service_account by=login",
		},
		figure: func(s lookerauth.Stats) uint64 { return s.Rejections },
	}.play(t)
}
