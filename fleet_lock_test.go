package lookerauth_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestLockThatIsNotHadInTimeCostsALogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		service := newCache(t, looker, withStore(store)).ServiceAccount()
		accessToken(t, service)
		name := store.names()[0]
		unlock, err := store.Lock(t.Context(), name) // by a process that does not log in
		if err != nil {
			t.Fatal(err)
		}
		store.values = map[string]stored{}
		before := time.Now()
		other := newCache(t, looker, withStore(store))
		accessToken(t, other.ServiceAccount())
		if waited := time.Since(before); waited != 5*time.Second {
			t.Errorf("waited %v for the lock", waited)
		}
		if n := other.Stats().StoreErrors; n != 1 || len(store.names()) != 1 {
			t.Errorf("%d errors of the store, %d values in it; want it counted, and the store used all the same", n, len(store.names()))
		}
		unlock()
		checkCalls(t, looker, 2, 0)

		// What came too late is released.
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if unlock, err := store.Lock(ctx, name); err != nil {
			t.Errorf("the lock was not released: %v", err)
		} else {
			unlock()
		}
	})
}

func TestLockThatCameTooLateIsReleased(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(lateLock{store})).ServiceAccount())
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		unlock, err := store.Lock(ctx, store.names()[0])
		if err != nil {
			t.Fatalf("the lock is still held: %v", err)
		}
		unlock()
	})
}

func TestLockLeavesTimeForTheLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		looker.Fail(lookertest.Login, -1, lookertest.Fault{Delay: time.Second})
		cfg := func(cfg *lookerauth.Config) { cfg.LoginTimeout = 2 * time.Second }
		accessToken(t, newCache(t, looker, withStore(store), cfg).ServiceAccount())
		unlock, err := store.Lock(t.Context(), store.names()[0])
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		store.values = map[string]stored{}
		accessToken(t, newCache(t, looker, withStore(store), cfg).ServiceAccount())
	})
}

func TestLocksThatNobodyGetsAreLoggedOnce(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log bytes.Buffer
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(hungLock{store}), logOf(&log))
		for i := range 5 {
			accessToken(t, cache.User(fmt.Sprint(i)))
		}
		if n := strings.Count(log.String(), "another process takes long"); n != 1 || strings.Contains(log.String(), "works again") {
			t.Errorf("logged:\n%s", log.String())
		}
		if n := len(store.names()); n != 6 {
			t.Errorf("%d values in the store, want it used all the same", n)
		}
	})
}

func TestBrokenUnlockBreaksNothing(t *testing.T) {
	for _, unlock := range []func(){func() { panic("oh") }, exit, nil} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			accessToken(t, newCache(t, looker, withStore(unlockedBy{newMemoryStore(), unlock})).User("789"))
			synctest.Wait()
		})
	}
}

func TestCloseWaitsForUnlock(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		unlocked := false
		cache := newCache(t, looker, withStore(unlockedBy{newMemoryStore(), func() { time.Sleep(time.Second); unlocked = true }}))
		accessToken(t, cache.ServiceAccount())
		if err := cache.Close(t.Context()); err != nil || !unlocked {
			t.Errorf("unlocked: %v; %v", unlocked, err)
		}
	})
}
