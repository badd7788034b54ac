package lookerauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestLogoutReachesTheStore(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one, other := newCache(t, looker, withStore(store)), newCache(t, looker, withStore(store))
		accessToken(t, one.User("789"))
		if err := other.User("789").Logout(t.Context()); err != nil { // which has not seen the token yet
			t.Fatal(err)
		}
		if n := looker.Alive()["789"]; n != 0 {
			t.Errorf("%d tokens alive", n)
		}
		if got := whoAnswered(t, t.Context(), one.User("789").Client(), looker.URL+"/api/4.0/looks"); got != "789" {
			t.Errorf("the other process was answered as %q", got)
		}
		for _, failing := range []string{"Get", "Delete"} {
			accessToken(t, other.User("790"))
			store.setFail(func(op string) error {
				if op == failing {
					return errors.New("connection refused")
				}
				return nil
			})
			if err := one.User("790").Logout(t.Context()); err == nil || !strings.Contains(err.Error(), "other processes") {
				t.Errorf("%s fails: got %v", failing, err)
			}
			if n := looker.Alive()["790"]; failing == "Delete" && n != 0 {
				t.Errorf("%d tokens alive that Logout had read", n)
			}
			store.setFail(nil)
			time.Sleep(time.Minute)
		}
		store.setFail(func(string) error { return errors.New("connection refused") })
		if err := one.User("789").Logout(t.Context()); err == nil || !strings.Contains(err.Error(), "other processes") {
			t.Errorf("got %v, want it to say that others may still use a token", err)
		}
		if n := looker.Alive()["789"]; n != 0 {
			t.Errorf("%d tokens alive after a Logout without the store", n)
		}
	})
}

func TestLogoutReachesAStoreThatIsBeingLeftAlone(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store))
		accessToken(t, cache.User("789"))
		store.setFail(func(string) error { return errors.New("a moment's failure") })
		accessToken(t, cache.User("790"))
		store.setFail(nil)
		if err := cache.User("789").Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(store.names()); n != 1 {
			t.Errorf("%d values in the store, want the service account's", n)
		}
	})
}

func TestLoginUnderWayDoesNotReachTheStoreAfterLogout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user := newCache(t, looker, withStore(store)).ServiceAccount()
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Delay: time.Second})
		go func() {
			_, _ = user.Token()
		}()
		synctest.Wait()
		looker.Fail(lookertest.Login, -1, lookertest.Fault{Status: 403})
		if err := user.Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if names, alive := store.names(), looker.Alive(); len(names) != 0 || len(alive) != 0 {
			t.Errorf("in the store: %v, alive: %v", names, alive)
		}
	})
}

func TestLogoutSurvivesBrokenCredentials(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, withStore(newMemoryStore()), func(cfg *lookerauth.Config) {
			cfg.Credentials = func(context.Context) (string, string, error) { panic("oh") }
		})
		if err := cache.User("789").Logout(t.Context()); err == nil || !strings.Contains(err.Error(), "panicked") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSharedTokensOutliveEvictionAndClose(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store), maxUsers(1))
		for _, userID := range []string{"1", "2", "3"} {
			accessToken(t, cache.User(userID))
		}
		if err := cache.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if alive := looker.Alive(); len(alive) != 4 {
			t.Errorf("alive: %v, want three users and the service account", alive)
		}
		if n := looker.Calls(lookertest.Logout); n != 0 {
			t.Errorf("%d logouts", n)
		}
	})
}

func TestTokenThatAfterLoginRefusedIsNotShared(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(context.Context, string, *http.Client) error { return errors.New("no") }
		})
		if _, err := cache.ServiceAccount().Token(); err == nil {
			t.Error("no error")
		}
		synctest.Wait()
		if names, alive := store.names(), looker.Alive(); len(names) != 0 || len(alive) != 0 {
			t.Errorf("in the store: %v, alive: %v", names, alive)
		}
	})
}

func TestCloseLeavesATokenToTheOthersThatWasSharedAMomentAgo(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one, other := newCache(t, looker, withStore(slowPut{store})), newCache(t, looker, withStore(store))
		go func() { _, _ = one.ServiceAccount().Token() }()
		time.Sleep(50 * time.Millisecond) // it is in the store, and the login not yet at its end
		accessToken(t, other.ServiceAccount())
		if err := one.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if calls, names := looker.Calls(lookertest.Logout), store.names(); calls != 0 || len(names) != 1 {
			t.Errorf("%d logouts, %d values in the store; want none, and one", calls, len(names))
		}
	})
}
