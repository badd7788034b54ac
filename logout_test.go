package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestLogoutRevokesEveryTokenOfTheIdentity(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		time.Sleep(59 * time.Minute)
		accessToken(t, user) // starts a refresh; the old token lives for another minute
		synctest.Wait()
		checkAlive(t, looker, "789", 2) // the old one and the new one
		logOut(t, user)
		checkAlive(t, looker, "789", 0)
		accessToken(t, user) // the handle works again
		checkAlive(t, looker, "789", 1)
	})
}

func TestLogoutOfADeadTokenSucceeds(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusNotFound} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			service := newCache(t, looker).ServiceAccount()
			accessToken(t, service)
			looker.FailNext(lookertest.OpLogout, answered(status))
			if err := service.Logout(t.Context()); err != nil {
				t.Errorf("answer %d: %v", status, err)
			}
		})
	}
}

func TestLogoutThatAProxyAnswersIsNone(t *testing.T) {
	for _, status := range []int{200, 401, 404} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			service := newCache(t, looker).ServiceAccount()
			accessToken(t, service)
			looker.FailNext(lookertest.OpLogout,
				lookertest.Fault{Status: status, Body: "<html>Blocked by policy</html>"})
			if err := service.Logout(t.Context()); !errors.Is(err, lookerauth.ErrNotLooker) {
				t.Errorf("answer %d: got %v", status, err)
			}
			logOut(t, service) // it can be tried again
			checkAlive(t, looker, lookertest.ServiceAccountID, 0)
		})
	}
}

func TestLogoutIsRetried(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		failNext(looker, 2, lookertest.OpLogout, answered(503))
		logOut(t, user)
		checkAlive(t, looker, "789", 0)
	})
}

func TestCloseEndsWhatALogoutHasLeft(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		accessToken(t, cache.User("7"))
		for _, userID := range []string{"8", "exported"} {
			accessToken(t, cache.User(userID))
		}
		export(t, cache.User("exported"), 0)
		looker.FailFunc(func(r lookertest.Request) (none lookertest.Fault) {
			if r.Op == lookertest.OpLogout {
				return answered(http.StatusForbidden)
			}
			return none
		})
		checkErrorSays(t, cache.LogoutAll(t.Context()), "the logout of 4 of 4 identities failed")
		accessToken(t, cache.User("7")) // one that is kept, and a new one
		looker.FailFunc(nil)
		closeCache(t, cache)
		for _, userID := range []string{lookertest.ServiceAccountID, "7", "8"} {
			checkAlive(t, looker, userID, 0)
		}
		checkAlive(t, looker, "exported", 1)
		log.check(t, "closed users=2 failed=0", 1)
	})
}

func TestFailedLogoutIsReportedAndItsTokenNotServed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		first := accessToken(t, user)
		failNext(looker, 3, lookertest.OpLogout, answered(503))
		failed := callError(t, user.Logout(t.Context()))
		if failed.Op != "logout" || failed.Identity != lookerauth.User("789") {
			t.Errorf("got %v", failed)
		}
		if accessToken(t, user) == first {
			t.Error("the token was served after Logout")
		}
	})
}

func TestLoginUnderWayDoesNotSurviveLogout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		looker.FailNext(lookertest.OpLoginUser, delayed(time.Second))
		waiter := make(chan string)
		go func() { waiter <- accessToken(t, user) }()
		synctest.Wait()

		logOut(t, user)
		token := <-waiter
		synctest.Wait()
		checkAlive(t, looker, "789", 1) // of the login after Logout
		checkLogins(t, looker, "789", 2)
		if accessToken(t, user) != token {
			t.Error("the one who waited got another token than the one that is kept")
		}
	})
}

func TestStalledLogoutsDoNotHoldUpLogins(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(1), maxConcurrentLogins(1))
		failing(looker, lookertest.OpLogout, delayed(time.Hour))
		before := time.Now()
		useUsers(t, cache, 10)
		checkTook(t, before, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = cache.Close(ctx)
	})
}

// The login that it discards is its own, each time.
func TestLogoutByAFunctionOfItsOwnLoginCausesNoStorm(t *testing.T) {
	var cache *lookerauth.Cache // of the test under way
	logOutUser := func(ctx context.Context) { _ = cache.User("789").Logout(ctx) }
	for name, change := range map[string]option{
		"UserToken": func(cfg *lookerauth.Config) {
			cfg.UserToken = func(
				ctx context.Context, _ lookerauth.UserTokenRequest,
			) (*oauth2.Token, error) {
				logOutUser(ctx)
				return &oauth2.Token{AccessToken: "a-token-of-the-user", ExpiresIn: 3600}, nil
			}
		},
		"AfterLogin": withAfterLogin(func(ctx context.Context, login lookerauth.Login) error {
			if login.UserID != "" {
				logOutUser(ctx)
			}
			return nil
		}),
		"APIKey": func(cfg *lookerauth.Config) {
			key := lookerauth.APIKey{ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret}
			cfg.APIKey = func(ctx context.Context) (lookerauth.APIKey, error) {
				_ = cache.ServiceAccount().Logout(ctx)
				return key, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache = newCache(t, looker, change)
				_, err := cache.User("789").Token()
				checkErrorSays(t, err, "Logout has discarded 11 logins in a row")
				logins := looker.Count(lookertest.OpLogin, "")
				if n := logins + looker.Count(lookertest.OpLoginUser, ""); n > 12 {
					t.Errorf("%d logins", n)
				}
			})
		})
	}
}

// It is a mistake of the caller's, who may recover, and nothing has changed by then.
func TestNilContextPanicsInItsCaller(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.User("789"))
		var none context.Context
		for name, call := range map[string]func(context.Context) error{
			"Logout":    cache.User("789").Logout,
			"LogoutAll": cache.LogoutAll,
			"Close":     cache.Close,
		} {
			func() {
				defer func() {
					if text := fmt.Sprint(recover()); !strings.Contains(text, "context is nil") {
						t.Errorf("%s: %s", name, text)
					}
				}()
				_ = call(none)
			}()
		}
		checkAlive(t, looker, "789", 1)
		closeCache(t, cache)
		checkAlive(t, looker, "789", 0)
	})
}
