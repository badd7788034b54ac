package lookerauth_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestProcessGoesOnAloneWhileTheStoreFails(t *testing.T) {
	for name, fail := range map[string]func(string) error{
		"error":  func(string) error { return errRefused },
		"panic":  func(string) error { panic("oh") },
		"Goexit": func(string) error { exit(); return nil },
		"slow":   func(string) error { time.Sleep(time.Minute); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				store.onCall(fail)
				var log eventLog
				cache := newCache(t, looker, withStore(store), withLog(&log))
				before := time.Now()
				useUsers(t, cache, 10)
				if waited := time.Since(before); waited > 750*time.Millisecond {
					t.Errorf("the logins took %v", waited)
				}
				if n := store.callsOf("Swap"); n != 1 {
					t.Errorf("the store was asked %d times, want once as it is left alone then", n)
				}

				store.works()
				time.Sleep(5 * time.Second)
				accessToken(t, cache.User("11"))
				store.checkSize(t, 1)                // it is used again
				log.check(t, "store works again", 0) // it may fail again in a moment
				time.Sleep(time.Minute)
				accessToken(t, cache.User("12"))
				log.check(t, "store failed", 1)
				log.check(t, "store works again", 1)
				checkStoreErrors(t, cache, 1)
			})
		})
	}
}

// The Store here does not even heed its context.
func TestSlowOperationOfTheStoreIsNotWaitedFor(t *testing.T) {
	for op, longest := range map[string]time.Duration{
		"Get":  750 * time.Millisecond,
		"Swap": 750 * time.Millisecond,
	} {
		t.Run(op, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				cache := newCache(t, looker, withStore(store))
				user := cache.User("789")
				store.onCall(func(failing string) error {
					if failing == op {
						time.Sleep(time.Second)
					}
					return nil
				})
				before := time.Now()
				accessToken(t, user)
				invalidate(t, user)
				accessToken(t, user)
				if waited := time.Since(before); waited > longest {
					t.Errorf("two logins took %v", waited)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestSlowStoreLeavesTimeForTheLogin(t *testing.T) {
	for _, delay := range []time.Duration{
		240 * time.Millisecond, // a little less than is waited for
		700 * time.Millisecond, // more
	} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			store := newMemoryStore()
			store.onCall(func(string) error { time.Sleep(delay); return nil })
			slow := delayed(300 * time.Millisecond)
			looker.FailFunc(func(lookertest.Request) lookertest.Fault { return slow })
			cache := newCache(t, looker, withStore(store), loginTimeout(4*time.Second))
			accessToken(t, cache.User("789"))
			time.Sleep(time.Minute)
		})
	}
}

// The Store here answers one call after the other: of many at once the last ones would be too late.
func TestManyWhoComeAtOnceDoNotMakeTheStoreFail(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const users, processes = 500, 2
		store := newMemoryStore()
		turn := make(chan struct{}, 1)
		store.onCall(func(string) error {
			turn <- struct{}{}
			time.Sleep(5 * time.Millisecond)
			<-turn
			return nil
		})
		fleet := newFleet(t, looker, processes, withStore(store))
		together(processes*users, func(i int) {
			accessToken(t, fleet[i/users].User(nthUser(i%users)))
		})
		checkCalls(t, looker, 1, users)
		for _, cache := range fleet {
			checkStoreErrors(t, cache, 0)
		}
		time.Sleep(time.Minute) // calls that were given up go on
	})
}

func TestStoreIsLeftAloneAfterEveryError(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		calls := func() int { return store.callsOf("Get") + store.callsOf("Swap") }
		cache := newCache(t, looker, withStore(store))
		accessToken(t, cache.ServiceAccount())
		store.fail(errRefused)
		for i := range 3 {
			accessToken(t, cache.User(nthUser(i)))
			synctest.Wait()
			before := calls()
			time.Sleep(5*time.Second - time.Nanosecond)
			accessToken(t, cache.User(fmt.Sprint(100+i)))
			if calls() != before {
				t.Error("the store was called less than 5 seconds after it failed")
			}
			time.Sleep(time.Nanosecond)
		}
		checkStoreErrors(t, cache, 3)
	})
}

// Who has to wait for a turn does not look into it meanwhile.
func TestStoreThatIsLeftAloneIsNotLookedInto(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store), maxConcurrentLogins(1))
		accessToken(t, cache.ServiceAccount())
		failing(looker, lookertest.OpLoginUser, delayed(100*time.Millisecond))
		store.fail(errRefused)
		accessToken(t, cache.User("the first to see it"))
		synctest.Wait()
		together(4, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		checkStoreErrors(t, cache, 1)
	})
}

func TestStoreThatCannotBeWrittenIsLoggedOnce(t *testing.T) {
	for name, fails := range map[string]func(store *memoryStore, op string) bool{
		"read only": func(_ *memoryStore, op string) bool { return op != "Get" },
		"hardly read, too": func(store *memoryStore, op string) bool {
			return op == "Swap" || store.callsOf("Get")%3 == 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				store.onCall(func(op string) error {
					if fails(store, op) {
						return errors.New("READONLY")
					}
					return nil
				})
				var log eventLog
				cache := newCache(t, looker, withStore(store), withLog(&log))
				for i := range 20 {
					accessToken(t, cache.User(nthUser(i)))
					time.Sleep(10 * time.Second)
				}
				log.check(t, "store failed", 1)
				log.check(t, "works again", 0)
			})
		})
	}
}

func TestOutageIsLoggedWhenTheOneBeforeIsOver(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		var log eventLog
		cache := newCache(t, looker, withStore(store), withLog(&log))
		user := cache.User("789")
		invalidate(t, user)
		store.failOn("Swap", errors.New("a moment's failure"))
		accessToken(t, user)
		synctest.Wait()
		store.works()
		time.Sleep(time.Minute)
		accessToken(t, cache.User("790"))
		log.check(t, "store failed", 1)
		log.check(t, "works again", 1)
		store.fail(errors.New("down"))
		accessToken(t, cache.User("791"))
		log.check(t, "store failed", 2)
	})
}

func TestStoreIsNotToBlameForACallThatCloseCutShort(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, withStore(hungStore{newMemoryStore()}))
		tokenInBackground(cache.User("789"))
		synctest.Wait()
		closeCache(t, cache)
		checkStoreErrors(t, cache, 1) // taking the lease out, which may be there
	})
}

func TestStoreIsUsedAfterTheClockWasSetBack(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, clock := newMemoryStore(), &steppedClock{}
		cache := newCache(t, looker, withStore(store), withClock(clock))
		store.fail(errRefused)
		accessToken(t, cache.ServiceAccount())
		store.works()
		clock.step(-5 * time.Hour)
		accessToken(t, cache.User("789"))
		if len(store.names()) == 0 {
			t.Error("it is left alone for hours")
		}
	})
}

func TestStoreIsSaidToBeLeftAlone(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store))
		check := func(want bool) {
			t.Helper()
			if got := cache.Stats().StoreLeftAlone; got != want {
				t.Errorf("left alone: %t, want %t", got, want)
			}
		}
		check(false)
		store.fail(errRefused)
		accessToken(t, cache.User("789"))
		check(true)
		time.Sleep(5*time.Second - 1)
		check(true)
		time.Sleep(time.Nanosecond)
		check(false)
	})
}

func TestLineSaysWhichOperationOfTheStoreFailedAndItsLimit(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		slow := withStore(hungStore{newMemoryStore()})
		cache := newCache(t, looker, slow, loginTimeout(4*time.Second), withLog(&log))
		accessToken(t, cache.ServiceAccount())
		log.check(t, "store failed op=swap limit=250ms error=no answer in time left_alone=5s\n", 1)
		time.Sleep(10 * time.Minute)
		store := newMemoryStore()
		another := newCache(t, looker, withStore(store), withLog(&log))
		accessToken(t, another.ServiceAccount())
		store.failOn("Get", errRefused)
		logOut := another.ServiceAccount().Logout(t.Context())
		checkErrorSays(t, logOut, "connection refused")
		log.check(t, "store failed op=get limit=750ms error=connection refused left_alone=5s\n", 1)
	})
}
