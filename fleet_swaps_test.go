package lookerauth_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// clumsyStore is a memoryStore whose client does something else with one swap of a lease.
type clumsyStore struct {
	*memoryStore
	swap atomic.Pointer[func(swap func() ([]byte, error)) ([]byte, error)]
}

func (s *clumsyStore) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	swap := func() ([]byte, error) {
		return s.memoryStore.CompareAndSwap(context.WithoutCancel(ctx), name, old, next, ttl)
	}
	if len(old) > 0 {
		if instead := s.swap.Swap(nil); instead != nil {
			return (*instead)(swap)
		}
	}
	return swap()
}

// once has the next swap of a lease go this way.
func (s *clumsyStore) once(f func(swap func() ([]byte, error)) ([]byte, error)) { s.swap.Store(&f) }

// The answer to the swap of a lease for the token gets lost. Before the client sends it again,
// another process takes the token, and logs it out.
func TestSwapThatIsSentAgainAfterLogoutDoesNotBringTheTokenBack(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := &clumsyStore{memoryStore: newMemoryStore()}
		one, other := newCache(t, looker, withStore(store)), newCache(t, looker, withStore(store))
		accessToken(t, one.ServiceAccount())
		accessToken(t, other.ServiceAccount())
		store.once(func(swap func() ([]byte, error)) ([]byte, error) {
			if _, err := swap(); err != nil {
				t.Error(err)
			}
			logOut(t, other.User("789"))
			return swap()
		})
		ended := accessToken(t, one.User("789"))
		third := newCache(t, looker, withStore(store))
		if accessToken(t, third.User("789")) == ended {
			t.Error("the token was served to another process after its Logout")
		}
	})
}

// The swap of a lease for the token has its effect when nobody waits for it any more, after Logout.
func TestSwapThatArrivesAfterLogoutHasNoEffect(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := &clumsyStore{memoryStore: newMemoryStore()}
		user := newCache(t, looker, withStore(store)).User("789")
		other := newCache(t, looker, withStore(store))
		accessToken(t, other.ServiceAccount())
		arrived := make(chan error, 1)
		store.once(func(swap func() ([]byte, error)) ([]byte, error) {
			time.AfterFunc(2*time.Second, func() {
				_, err := swap()
				arrived <- err
			})
			return nil, errors.New("no answer")
		})
		ended := accessToken(t, user)
		logOut(t, user)
		if err := <-arrived; err != nil {
			t.Error(err)
		}
		if accessToken(t, other.User("789")) == ended {
			t.Error("the token was served to another process after its Logout")
		}
	})
}

// Who holds the lease stores the token although somebody has logged the identity out meanwhile.
func TestLogoutDuringALoginOfAnotherProcessCostsNoLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one, other := newCache(t, looker, withStore(store)), newCache(t, looker, withStore(store))
		accessToken(t, one.ServiceAccount())
		looker.FailNext(lookertest.OpLoginUser, delayed(time.Second))
		done := tokenInBackground(one.User("789"))
		time.Sleep(500 * time.Millisecond)
		logOut(t, other.User("789"))
		if err := <-done; err != nil {
			t.Error(err)
		}
		if accessToken(t, other.User("789")) != accessToken(t, one.User("789")) {
			t.Error("the token was not shared")
		}
		checkCalls(t, looker, 1, 1)
	})
}
