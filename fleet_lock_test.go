package lookerauth_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestLockThatIsNotHadInTimeCostsALogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
		name := store.names()[0]
		unlock := store.lock(t, name) // by a process that does not log in
		store.clear()
		before := time.Now()
		other := newCache(t, looker, withStore(store))
		accessToken(t, other.ServiceAccount())
		checkTook(t, before, 5*time.Second)
		checkStoreErrors(t, other, 1)
		store.checkSize(t, 1) // it is used all the same
		unlock()
		checkCalls(t, looker, 2, 0)

		synctest.Wait()
		store.lock(t, name)() // what came too late was unlocked
	})
}

func TestLockThatCameTooLateIsUnlocked(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(lateLock{store})).ServiceAccount())
		time.Sleep(10 * time.Second)
		store.lock(t, store.names()[0])()
	})
}

func TestLockLeavesTimeForTheLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		looker.Fail(lookertest.Login, -1, delayed(time.Second))
		fleet := newFleet(t, looker, 2, withStore(store), loginTimeout(2*time.Second))
		accessToken(t, fleet[0].ServiceAccount())
		defer store.lock(t, store.names()[0])()
		store.clear()
		accessToken(t, fleet[1].ServiceAccount())
	})
}

func TestLocksThatNobodyGetsAreLoggedOnce(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(hungLock{store}), withLog(&log))
		useUsers(t, cache, 5)
		log.check(t, "another process takes long", 1)
		log.check(t, "works again", 0)
		store.checkSize(t, 6) // it is used all the same
	})
}

func TestBrokenUnlockBreaksNothing(t *testing.T) {
	for _, unlock := range []func(){func() { panic("oh") }, exit, nil} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			store := unlockedBy{newMemoryStore(), unlock}
			accessToken(t, newCache(t, looker, withStore(store)).User("789"))
			synctest.Wait()
		})
	}
}

func TestCloseWaitsForUnlock(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		unlocked := false
		store := unlockedBy{newMemoryStore(), func() {
			time.Sleep(time.Second)
			unlocked = true
		}}
		cache := newCache(t, looker, withStore(store))
		accessToken(t, cache.ServiceAccount())
		closeCache(t, cache)
		if !unlocked {
			t.Error("it did not")
		}
	})
}
