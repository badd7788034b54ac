package lookerauth_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestLogoutReachesTheStore(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one, other := newCache(t, looker, withStore(store)), newCache(t, looker, withStore(store))
		accessToken(t, one.User("789"))
		logOut(t, other.User("789")) // which has not seen the token yet
		checkAlive(t, looker, "789", 0)
		answersAs(t, one.User("789").Client(), looker, "789")
		for _, failing := range []string{"Get", "Swap"} {
			accessToken(t, other.User("790"))
			store.failOn(failing, errRefused)
			checkErrorSays(t, one.User("790").Logout(t.Context()), "other processes")
			if failing == "Swap" {
				checkAlive(t, looker, "790", 0) // as Logout could read it
			}
			store.works()
			time.Sleep(time.Minute)
		}
		store.fail(errRefused)
		checkErrorSays(t, one.User("789").Logout(t.Context()), "other processes")
		checkAlive(t, looker, "789", 0) // without the store, too
	})
}

func TestLogoutReachesAStoreThatIsBeingLeftAlone(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store))
		accessToken(t, cache.User("789"))
		store.fail(errors.New("a moment's failure"))
		accessToken(t, cache.User("790"))
		store.works()
		logOut(t, cache.User("789"))
		store.checkSize(t, 1) // the service account's
	})
}

func TestLoginUnderWayDoesNotReachTheStoreAfterLogout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user := newCache(t, looker, withStore(store)).ServiceAccount()
		looker.FailNext(lookertest.OpLogin, delayed(time.Second))
		tokenInBackground(user)
		synctest.Wait()
		failing(looker, lookertest.OpLogin, answered(403))
		logOut(t, user)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		store.checkSize(t, 0)
		checkNoneAlive(t, looker)
	})
}

// Another process has lost patience with the login meanwhile, and logged in itself.
func TestLoginUnderWayAtLogoutDoesNotEndAnothersToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one, other := newCache(t, looker, withStore(store)), newCache(t, looker, withStore(store))
		accessToken(t, one.ServiceAccount())
		looker.FailNext(lookertest.OpLoginUser, delayed(8*time.Second))
		tokenInBackground(one.User("789"))
		synctest.Wait()
		logOut(t, one.User("789"))
		accessToken(t, other.User("789"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		checkAlive(t, looker, "789", 1)
		checkLogouts(t, looker, 1) // of the late one
		store.checkSize(t, 2)      // the service account's and the user's
	})
}

func TestLogoutSurvivesABrokenAPIKey(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		broken := withAPIKey(func() (string, string, error) { panic("oh") })
		cache := newCache(t, looker, withStore(newMemoryStore()), broken)
		err := cache.User("789").Logout(t.Context())
		checkErrorSays(t, err, "panicked")
		checkErrorSays(t, err, "other processes")
	})
}

func TestSharedTokensOutliveEvictionAndClose(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store), maxUsers(1))
		useUsers(t, cache, 3)
		closeCache(t, cache)
		if alive := looker.Alive(); len(alive) != 4 {
			t.Errorf("alive: %v, want three users and the service account", alive)
		}
		checkLogouts(t, looker, 0)
	})
}

func TestTokenThatAfterLoginRefusedIsNotShared(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		no := errors.New("no")
		cache := newCache(t, looker, withStore(store), afterLogin(func() error { return no }))
		failsWith(t, cache.ServiceAccount(), no)
		synctest.Wait()
		store.checkSize(t, 0)
		checkNoneAlive(t, looker)
	})
}

func TestCloseLeavesATokenToTheOthersThatWasSharedAMomentAgo(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one := newCache(t, looker, withStore(slowSwap{store}))
		other := newCache(t, looker, withStore(store))
		tokenInBackground(one.ServiceAccount())
		time.Sleep(50 * time.Millisecond) // it is in the store, and the login not yet at its end
		accessToken(t, other.ServiceAccount())
		closeCache(t, one)
		checkLogouts(t, looker, 0)
		store.checkSize(t, 1)
	})
}

// Logout ends what comes home, also if Close does not wait for it.
func TestLogoutThenCloseEndsTheLoginUnderWay(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, base := newMemoryStore(), looker.Transport()
		slow := withTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPost { // comes home although it is cancelled
				time.Sleep(time.Second)
				req = req.WithContext(context.WithoutCancel(req.Context()))
			}
			return base.RoundTrip(req)
		}))
		cache := newCache(t, looker, withStore(store), slow)
		tokenInBackground(cache.ServiceAccount())
		synctest.Wait()
		logOut(t, cache.ServiceAccount())
		closeCache(t, cache)
		checkNoneAlive(t, looker)
		store.checkSize(t, 0)
	})
}

func TestCloseBlamesNoLogoutOnTheStore(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store))
		invalidate(t, cache.User("789"))
		store.fail(errRefused)
		closeCache(t, cache)
	})
}

// frozen is a memoryStore whose swaps have no effect.
type frozen struct{ *memoryStore }

func (f frozen) CompareAndSwap(
	ctx context.Context, name string, _, _ []byte, _ time.Duration,
) ([]byte, error) {
	return f.Get(ctx, name)
}

func TestLogoutEndsIfSwapsHaveNoEffect(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(store)).User("789"))
		cache := newCache(t, looker, withStore(frozen{store}))
		checkErrorSays(t, cache.User("789").Logout(t.Context()), "other processes")
		checkAlive(t, looker, "789", 0)
	})
}

func TestLogoutEndsThoughTheAPIKeyHangs(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		hang := make(chan struct{})
		hanging := withAPIKey(func() (string, string, error) {
			<-hang
			return "", "", errRefused
		})
		cache := newCache(t, looker, withStore(newMemoryStore()), hanging)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		checkError(t, cache.User("789").Logout(ctx), context.DeadlineExceeded)
		checkTook(t, before, time.Second)
		checkErrorSays(t, cache.User("789").Logout(t.Context()), "LoginTimeout")
		checkTook(t, before, 11*time.Second)
		close(hang)
	})
}

func TestLogoutThroughATransportReachesTheStore(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user := newCache(t, looker, withStore(store)).User("789")
		token := accessToken(t, user)
		req, _ := http.NewRequest(http.MethodDelete, looker.URL+"/api/4.0/logout", nil)
		resp, err := user.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		synctest.Wait()
		if got := accessToken(t, newCache(t, looker, withStore(store)).User("789")); got == token {
			t.Error("another process got the token that was logged out")
		}
	})
}

// lateStore is a memoryStore whose answer to one call is late.
type lateStore struct {
	*memoryStore
	late atomic.Bool // the next call's is
}

func (s *lateStore) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	isLate := s.late.Swap(false)
	now, err := s.memoryStore.CompareAndSwap(ctx, name, old, next, ttl)
	if isLate {
		time.Sleep(500 * time.Millisecond)
	}
	return now, err
}

// The token may come home before Logout has ended it, or afterwards.
func TestTokenThatIsFoundDuringLogoutIsNotServedAfterwards(t *testing.T) {
	for _, ahead := range []time.Duration{0, time.Hour} { // the clock of who issued it
		for _, late := range []bool{false, true} {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store, clock := &lateStore{memoryStore: newMemoryStore()}, &steppedClock{}
				clock.step(ahead)
				other := newCache(t, looker, withStore(store), withClock(clock)).User("789")
				ended := accessToken(t, other)
				time.Sleep(time.Second)
				cache := newCache(t, looker, withStore(store))
				user := cache.User("789")
				accessToken(t, cache.ServiceAccount())

				var found <-chan error
				store.onCall(func(op string) error {
					if op == "Get" && found == nil { // that of Logout
						store.late.Store(late)
						found = tokenInBackground(user)
						time.Sleep(time.Millisecond)
					}
					return nil
				})
				logOut(t, user)
				if accessToken(t, user) == ended {
					t.Errorf("the token was served, with the clock %v ahead, late: %t", ahead, late)
				}
				if err := <-found; err != nil {
					t.Error(err)
				}
				checkAlive(t, looker, "789", 1)
			})
		}
	}
}
