package lookerauth_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// inTurn is a Store that answers everything about one name with old values, in turn.
type inTurn struct {
	*memoryStore
	name  string
	old   [][]byte
	calls atomic.Uint32
}

func (s *inTurn) Get(ctx context.Context, name string) ([]byte, error) {
	if name != s.name {
		return s.memoryStore.Get(ctx, name)
	}
	return s.old[int(s.calls.Add(1))%len(s.old)], nil
}

func (s *inTurn) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	if name != s.name {
		return s.memoryStore.CompareAndSwap(ctx, name, old, next, ttl)
	}
	return s.Get(ctx, name)
}

// newInTurn makes a Store that keeps two values of an identity: what is under name each time that
// renew has put another token there.
func newInTurn(t *testing.T, store *memoryStore, name func() string, renew func()) *inTurn {
	t.Helper()
	s := &inTurn{memoryStore: store}
	for range 2 {
		time.Sleep(20 * time.Second)
		renew()
		s.name = name()
		s.old = append(s.old, store.get(s.name).value)
	}
	return s
}

func TestTwoOldValuesOfAUserInTurnFailNoRequest(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one := newCache(t, looker, withStore(store))
		accessToken(t, one.ServiceAccount())
		service := store.names()[0]
		hostile := newInTurn(t, store, func() string {
			for _, name := range store.names() {
				if name != service {
					return name
				}
			}
			return ""
		}, func() {
			invalidate(t, one.User("789"))
			accessToken(t, one.User("789"))
		})
		looker.Revoke("789")
		before := looker.Count(lookertest.OpLoginUser, "")
		const processes = 3
		for _, cache := range newFleet(t, looker, processes, withStore(hostile)) {
			client := cache.User("789").Client()
			for range 200 {
				answersAs(t, client, looker, "789")
				time.Sleep(time.Second)
			}
		}
		if n := looker.Count(lookertest.OpLoginUser, "") - before; n > processes {
			t.Errorf("%d logins of one user in %d processes", n, processes)
		}
	})
}

func TestTwoOldValuesOfTheServiceAccountInTurnFailNoUser(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one := newCache(t, looker, withStore(store))
		hostile := newInTurn(t, store, func() string { return store.names()[0] }, func() {
			invalidate(t, one.ServiceAccount())
			accessToken(t, one.ServiceAccount())
		})
		looker.RevokeAll()
		before := looker.Count(lookertest.OpLogin, "")
		const processes = 3
		for i, cache := range newFleet(t, looker, processes, withStore(hostile)) {
			for j := range 200 {
				id := nthUser(200*i + j)
				answersAs(t, cache.User(id).Client(), looker, id)
				time.Sleep(time.Second)
			}
		}
		if n := looker.Count(lookertest.OpLogin, "") - before; n > processes {
			t.Errorf("%d logins of the service account in %d processes", n, processes)
		}
	})
}
