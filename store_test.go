package lookerauth_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestProcessGoesOnAloneWhileTheStoreFails(t *testing.T) {
	for name, fail := range map[string]func(string) error{
		"error":  func(string) error { return errors.New("connection refused") },
		"panic":  func(string) error { panic("oh") },
		"Goexit": func(string) error { exit(); return nil },
		"slow":   func(string) error { time.Sleep(time.Minute); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				store.setFail(fail)
				var log bytes.Buffer
				cache := newCache(t, looker, withStore(store), logOf(&log))
				before := time.Now()
				for i := range 10 {
					accessToken(t, cache.User(fmt.Sprint(i)))
				}
				if waited := time.Since(before); waited > 750*time.Millisecond {
					t.Errorf("the logins took %v", waited)
				}
				if n := store.callsOf("Get"); n != 1 {
					t.Errorf("the store was asked %d times, want once as it is left alone then", n)
				}

				store.setFail(nil)
				time.Sleep(5 * time.Second)
				accessToken(t, cache.User("11"))
				if n := len(store.names()); n != 1 {
					t.Errorf("%d values in the store after it has come back, want 1", n)
				}
				failed, works := strings.Count(log.String(), "store failed"), strings.Count(log.String(), "store works again")
				if n := cache.Stats().StoreErrors; n != 1 || failed != 1 || works != 1 {
					t.Errorf("%d errors counted; logged:\n%s", n, log.String())
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// The Store here does not even heed its context.
func TestSlowOperationOfTheStoreIsNotWaitedFor(t *testing.T) {
	for op, longest := range map[string]time.Duration{
		"Get": 750 * time.Millisecond, "Put": 750 * time.Millisecond, "Delete": 750 * time.Millisecond,
		"Lock":   5 * time.Second,
		"unlock": time.Second, // by the next login, which waits for the lock
	} {
		t.Run(op, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				cache := newCache(t, looker, withStore(store))
				user := cache.User("789")
				store.setFail(func(failing string) error {
					if failing == op {
						time.Sleep(time.Second)
					}
					return nil
				})
				before := time.Now()
				accessToken(t, user)
				user.Invalidate(must(user.Token()))
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
	for _, delay := range []time.Duration{240 * time.Millisecond, 700 * time.Millisecond} { // a little less, and more, than is waited for
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			store := newMemoryStore()
			store.setFail(func(string) error { time.Sleep(delay); return nil })
			looker.FailFunc(func(lookertest.Call) *lookertest.Fault { return &lookertest.Fault{Delay: 300 * time.Millisecond} })
			cache := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) { cfg.LoginTimeout = 4 * time.Second })
			accessToken(t, cache.User("789"))
			time.Sleep(time.Minute)
		})
	}
}

func TestStoreIsLeftAloneAfterEveryError(t *testing.T) {
	for _, op := range []string{"Get", "Lock", "Put"} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			store := newMemoryStore()
			calls := func() int { return store.callsOf("Get") + store.callsOf("Lock") + store.callsOf("Put") }
			cache := newCache(t, looker, withStore(store))
			accessToken(t, cache.ServiceAccount())
			store.setFail(func(called string) error {
				if called == op {
					return errors.New("connection refused")
				}
				return nil
			})
			for i := range 3 {
				accessToken(t, cache.User(fmt.Sprint(i)))
				synctest.Wait()
				before := calls()
				time.Sleep(5*time.Second - time.Nanosecond)
				accessToken(t, cache.User(fmt.Sprint(100+i)))
				if calls() != before {
					t.Errorf("%s failed, and less than 5 seconds later the store was called", op)
				}
				time.Sleep(time.Nanosecond)
			}
			if n := cache.Stats().StoreErrors; n != 3 {
				t.Errorf("%s: %d errors were counted, want 3", op, n)
			}
		})
	}
}

func TestStoreThatCannotBeWrittenIsLoggedOnce(t *testing.T) {
	for name, fails := range map[string]func(store *memoryStore, op string) bool{
		"read only":        func(_ *memoryStore, op string) bool { return op != "Get" },
		"hardly read, too": func(store *memoryStore, op string) bool { return op == "Put" || store.callsOf("Get")%3 == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				store.setFail(func(op string) error {
					if fails(store, op) {
						return errors.New("READONLY")
					}
					return nil
				})
				var log bytes.Buffer
				cache := newCache(t, looker, withStore(store), logOf(&log))
				for i := range 20 {
					accessToken(t, cache.User(fmt.Sprint(i)))
					time.Sleep(10 * time.Second)
				}
				if n := strings.Count(log.String(), "store failed"); n != 1 || strings.Contains(log.String(), "works again") {
					t.Errorf("logged:\n%s", log.String())
				}
			})
		})
	}
}

// Delete is called only after a rejection, so it is not waited for before an outage is one again.
func TestOutageIsLoggedAfterADeleteThatFailed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		var log bytes.Buffer
		cache := newCache(t, looker, withStore(store), logOf(&log))
		user := cache.User("789")
		user.Invalidate(must(user.Token()))
		store.setFail(func(op string) error {
			if op == "Delete" {
				return errors.New("a moment's failure")
			}
			return nil
		})
		accessToken(t, user)
		synctest.Wait()
		store.setFail(nil)
		time.Sleep(5 * time.Second)
		accessToken(t, cache.User("790"))
		if failed, works := strings.Count(log.String(), "store failed"), strings.Count(log.String(), "works again"); failed != 1 || works != 1 {
			t.Errorf("logged:\n%s", log.String())
		}
		store.setFail(func(string) error { return errors.New("down") })
		accessToken(t, cache.User("791"))
		if n := strings.Count(log.String(), "store failed"); n != 2 {
			t.Errorf("logged:\n%s", log.String())
		}
	})
}

func TestStoreIsNotToBlameForACallThatCloseCutShort(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, withStore(hungGet{newMemoryStore()}))
		go func() { _, _ = cache.User("789").Token() }()
		synctest.Wait()
		if err := cache.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := cache.Stats().StoreErrors; n != 0 {
			t.Errorf("%d errors were counted", n)
		}
	})
}

func TestStoreIsUsedAfterTheClockWasSetBack(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, clock := newMemoryStore(), &steppedClock{}
		cache := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) { cfg.Clock = clock })
		store.setFail(func(string) error { return errors.New("connection refused") })
		accessToken(t, cache.ServiceAccount())
		store.setFail(nil)
		clock.step(-5 * time.Hour)
		accessToken(t, cache.User("789"))
		if len(store.names()) == 0 {
			t.Error("it is left alone for hours")
		}
	})
}
