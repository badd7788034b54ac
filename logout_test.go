package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestLogoutKillsEveryTokenOfTheIdentity(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		time.Sleep(59 * time.Minute)
		accessToken(t, user) // starts a refresh; the old token lives for another minute
		synctest.Wait()
		if n := looker.Alive()["789"]; n != 2 {
			t.Fatalf("%d tokens alive, want the old and the new", n)
		}
		if err := user.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := looker.Alive()["789"]; n != 0 {
			t.Errorf("%d tokens alive after Logout", n)
		}
		accessToken(t, user)
		if n := looker.Alive()["789"]; n != 1 {
			t.Errorf("%d tokens alive after the handle was used again", n)
		}
	})
}

func TestLogoutOfADeadTokenSucceeds(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusNotFound} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			service := newCache(t, looker).ServiceAccount()
			accessToken(t, service)
			looker.Fail(lookertest.Logout, 1, lookertest.Fault{Status: status})
			if err := service.Logout(t.Context()); err != nil {
				t.Errorf("answer %d: %v", status, err)
			}
		})
	}
}

func TestLogoutIsRetried(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		looker.Fail(lookertest.Logout, 2, lookertest.Fault{Status: 503})
		if err := user.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		if n := looker.Alive()["789"]; n != 0 {
			t.Errorf("%d tokens alive", n)
		}
	})
}

func TestFailedLogoutIsReportedAndForgotten(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		first := accessToken(t, user)
		looker.Fail(lookertest.Logout, 3, lookertest.Fault{Status: 503})
		var failed *lookerauth.LoginError
		if err := user.Logout(t.Context()); !errors.As(err, &failed) || failed.Op != "logout" || failed.UserID != "789" {
			t.Errorf("got %v", err)
		}
		if accessToken(t, user) == first {
			t.Error("the token was served after Logout")
		}
	})
}

func TestLoginUnderWayDoesNotSurviveLogout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		looker.Fail(lookertest.LoginUser, 1, lookertest.Fault{Delay: time.Second})
		waiter := make(chan string)
		go func() { waiter <- accessToken(t, user) }()
		synctest.Wait()

		if err := user.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		token := <-waiter
		synctest.Wait()
		if n := looker.Alive()["789"]; n != 1 {
			t.Errorf("%d tokens alive, want the one of the login after Logout", n)
		}
		if n := looker.Calls(lookertest.LoginUser); n != 2 {
			t.Errorf("%d calls of login_user, want 2", n)
		}
		if accessToken(t, user) != token {
			t.Error("the one who waited got another token than the one that is kept")
		}
	})
}

func TestStalledLogoutsDoNotHoldUpLogins(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(1), func(cfg *lookerauth.Config) { cfg.MaxConcurrentLogins = 1 })
		looker.Fail(lookertest.Logout, -1, lookertest.Fault{Delay: time.Hour})
		before := time.Now()
		for i := range 10 {
			accessToken(t, cache.User(fmt.Sprint(i)))
		}
		if took := time.Since(before); took != 0 {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = cache.Close(ctx)
	})
}
