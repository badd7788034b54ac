package lookerauth_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// mortal is a memoryStore as a process has it that may die: from then on it gets no answer.
type mortal struct {
	*memoryStore
	dead atomic.Bool
}

func (m *mortal) Get(ctx context.Context, name string) ([]byte, error) {
	if m.dead.Load() {
		return nil, errRefused
	}
	return m.memoryStore.Get(ctx, name)
}

func (m *mortal) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	if m.dead.Load() {
		return nil, errRefused
	}
	return m.memoryStore.CompareAndSwap(ctx, name, old, next, ttl)
}

// holdLease has a process that dies at once take the lease of the service account.
func holdLease(t *testing.T, looker *lookertest.Server, store *memoryStore, options ...option) {
	t.Helper()
	process := &mortal{memoryStore: store}
	looker.FailNext(lookertest.OpLogin, delayed(time.Hour))
	holder := newCache(t, looker, append(options, withStore(process))...)
	tokenInBackground(holder.ServiceAccount())
	synctest.Wait()
	process.dead.Store(true)
	if len(store.names()) != 1 {
		t.Fatal("there is no lease")
	}
}

func TestRoundTripsOfALogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		trips := func(what string, want int, f func()) {
			t.Helper()
			before := store.callsOf("Get") + store.callsOf("Swap")
			f()
			synctest.Wait()
			if n := store.callsOf("Get") + store.callsOf("Swap") - before; n != want {
				t.Errorf("%s: %d round trips, want %d", what, n, want)
			}
		}
		one, other := newCache(t, looker, withStore(store)), newCache(t, looker, withStore(store))
		service, user := one.ServiceAccount(), one.User("789")
		trips("the first login", 2, func() { accessToken(t, service) })
		trips("a user's first login", 2, func() { accessToken(t, user) })
		trips("a look that finds a token", 1, func() { accessToken(t, other.ServiceAccount()) })
		trips("one that finds a user's", 1, func() { accessToken(t, other.User("789")) })
		trips("a token that is held", 0, func() { accessToken(t, user) })
		time.Sleep(58 * time.Minute)
		trips("a refresh", 3, func() { accessToken(t, service) })
		trips("a user's refresh", 3, func() { accessToken(t, user) })
		checkCalls(t, looker, 2, 2)
	})
}

func TestFleetLogsEachOfManyUsersInOnce(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const processes, users = 8, 50
		failing(looker, lookertest.OpLoginUser, delayed(time.Second))
		fleet := newFleet(t, looker, processes, withStore(newMemoryStore()))
		together(processes*users, func(i int) {
			accessToken(t, fleet[i%processes].User(nthUser(i/processes)))
		})
		checkCalls(t, looker, 1, users)
	})
}

func TestLeaseOfADeadProcessIsTakenOver(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		holdLease(t, looker, store)
		before := time.Now()
		fleet := newFleet(t, looker, 4, withStore(store))
		together(4, func(i int) { accessToken(t, fleet[i].ServiceAccount()) })
		if took := time.Since(before); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("it took %v, want the 5 s of the lease's patience, and a pause", took)
		}
		checkCalls(t, looker, 2, 0) // the dead one's, and one for all others
		for _, cache := range fleet {
			checkStoreErrors(t, cache, 0)
		}
	})
}

func TestLeaseLeavesTimeForTheLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		short := loginTimeout(2 * time.Second)
		holdLease(t, looker, store, short)
		failing(looker, lookertest.OpLogin, delayed(600*time.Millisecond))
		accessToken(t, newCache(t, looker, withStore(store), short).ServiceAccount())
	})
}

func TestNextProcessStartsAtOnceIfALoginFails(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, holder *lookerauth.Cache){
		"refused": func(*testing.T, *lookerauth.Cache) { time.Sleep(time.Second) },
		"closed":  func(t *testing.T, holder *lookerauth.Cache) { closeCache(t, holder) },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store := newMemoryStore()
				slow := answered(403)
				slow.Delay = time.Second
				looker.FailNext(lookertest.OpLogin, slow)
				holder := newCache(t, looker, withStore(store))
				tokenInBackground(holder.ServiceAccount())
				synctest.Wait()
				end(t, holder)
				before := time.Now()
				accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
				if took := time.Since(before); took > time.Second {
					t.Errorf("it took %v", took)
				}
				store.checkSize(t, 1)
			})
		})
	}
}

// A refresh that fails leaves the others what can still be used.
func TestFailedRefreshLeavesTheTokenInTheStore(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		service := newCache(t, looker, withStore(store)).ServiceAccount()
		first := accessToken(t, service)
		time.Sleep(58 * time.Minute)
		slow := answered(403)
		slow.Delay = time.Second
		looker.FailNext(lookertest.OpLogin, slow)
		accessToken(t, service)
		for range 2 { // while the lease is held, and afterwards
			synctest.Wait()
			late := newCache(t, looker, withStore(store)).ServiceAccount()
			if accessToken(t, late) != first {
				t.Error("not the token that can still be used")
			}
			time.Sleep(2 * time.Second)
		}
	})
}

func TestLoginThatOutlivesItsLeaseIsStored(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		failing(looker, lookertest.OpLogin, delayed(8*time.Second)) // the lease is for 5
		fleet := newFleet(t, looker, 8, withStore(newMemoryStore()))
		var tokens [8]string
		together(8, func(i int) { tokens[i] = accessToken(t, fleet[i].ServiceAccount()) })
		checkCalls(t, looker, 2, 0)
		different := map[string]bool{}
		for _, token := range tokens {
			different[token] = true
		}
		if len(different) > 2 {
			t.Errorf("%d tokens", len(different))
		}
	})
}

// Its lease was taken over, and a good token is there when it comes back: that one stays.
func TestProcessThatStoodStillReplacesNoGoodToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		stands := true
		still := newCache(t, looker, withStore(store), loginTimeout(2*time.Minute),
			afterLogin(func() error {
				if stands {
					time.Sleep(time.Minute)
				}
				return nil
			}))
		tokenInBackground(still.ServiceAccount())
		synctest.Wait()
		taken := accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
		time.Sleep(2 * time.Minute)
		if accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount()) != taken {
			t.Error("the token that the fleet has was replaced")
		}
		checkCalls(t, looker, 2, 0)
	})
}

func TestClocksOfAFleetMayBeHoursApart(t *testing.T) {
	const hours = 5 * time.Hour
	for _, apart := range []time.Duration{-hours, -time.Minute, time.Minute, hours} {
		t.Run(apart.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store, clock := newMemoryStore(), &steppedClock{}
				clock.step(apart)
				holdLease(t, looker, store)
				before := time.Now()
				other := newCache(t, looker, withStore(store), withClock(clock))
				accessToken(t, other.ServiceAccount())
				if took := time.Since(before); took < 5*time.Second || took > 7*time.Second {
					t.Errorf("the lease was taken over after %v", took)
				}
			})
		})
	}
}

// lostAnswer is a memoryStore one of whose swaps has its effect, and gives no answer.
type lostAnswer struct {
	*memoryStore
	swaps, lost int
}

func (l *lostAnswer) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	now, err := l.memoryStore.CompareAndSwap(ctx, name, old, next, ttl)
	if l.swaps++; l.swaps == l.lost {
		return nil, errors.New("connection reset")
	}
	return now, err
}

func TestAnswerThatGotLostCostsALoginAtMost(t *testing.T) {
	for lost := 1; lost <= 3; lost++ {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			store := newMemoryStore()
			flaky := &lostAnswer{memoryStore: store, lost: lost}
			accessToken(t, newCache(t, looker, withStore(flaky)).User("789"))
			time.Sleep(10 * time.Second)
			accessToken(t, newCache(t, looker, withStore(store)).User("789"))
			logins := looker.Count(lookertest.OpLogin, "")
			userLogins := looker.Count(lookertest.OpLoginUser, "")
			if logins > 2 || userLogins > 2 { // the user's as the Store is left alone
				t.Errorf("%d logins of the service account, %d of the user", logins, userLogins)
			}
		})
	}
}

// nowhere is a Store that answers every swap with something else.
type nowhere struct{ answer []byte }

func (n nowhere) Get(context.Context, string) ([]byte, error) { return n.answer, nil }

func (n nowhere) CompareAndSwap(
	context.Context, string, []byte, []byte, time.Duration,
) ([]byte, error) {
	return n.answer, nil
}

func TestValuesFromNowhereCostALogin(t *testing.T) {
	for name, answer := range map[string][]byte{
		"nothing": nil, "garbage": []byte("garbage"), "too long": make([]byte, 9<<10),
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker, withStore(nowhere{answer}))
				accessToken(t, cache.User("789"))
				checkCalls(t, looker, 1, 1)
				logOut(t, cache.User("789"))
			})
		})
	}
}

func TestWhoWatchesALeaseHoldsNoSlot(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one := newCache(t, looker, withStore(store))
		accessToken(t, one.ServiceAccount())
		looker.FailNext(lookertest.OpLoginUser, delayed(3*time.Second))
		tokenInBackground(one.User("1"))
		synctest.Wait()

		other := newCache(t, looker, withStore(store), maxConcurrentLogins(1))
		tokenInBackground(other.User("1")) // watches
		time.Sleep(time.Second)
		before := time.Now()
		accessToken(t, other.User("2"))
		checkTook(t, before, 0)
		checkLogins(t, looker, "1", 1)
	})
}

func TestTimeInTheQueueIsNotTimeOfWatching(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const processes, users = 2, 400
		failing(looker, lookertest.OpLoginUser, delayed(time.Second))
		fleet := newFleet(t, looker, processes, withStore(newMemoryStore()))
		together(processes*users, func(i int) {
			accessToken(t, fleet[i%processes].User(nthUser(i/processes)))
		})
		checkCalls(t, looker, 1, users)
	})
}

func TestDeadLeaseIsTakenOverByOneWhateverLoginTimeoutIs(t *testing.T) {
	for _, timeout := range []time.Duration{6 * time.Second, 10 * time.Second, time.Minute} {
		t.Run(timeout.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store, timeout := newMemoryStore(), loginTimeout(timeout)
				holdLease(t, looker, store, timeout)
				failing(looker, lookertest.OpLogin, delayed(200*time.Millisecond))
				fleet := newFleet(t, looker, 8, withStore(store), timeout)
				together(8, func(i int) { accessToken(t, fleet[i].ServiceAccount()) })
				checkCalls(t, looker, 2, 0)
			})
		})
	}
}

func TestSlowLoginsMakeLeasesLonger(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		failing(looker, lookertest.OpLogin, delayed(9*time.Second))
		fleet := newFleet(t, looker, 8, withStore(newMemoryStore()))
		accessToken(t, fleet[0].ServiceAccount())
		time.Sleep(2 * time.Hour)
		before := looker.Count(lookertest.OpLogin, "")
		// Who has logged in before knows how long that takes, and has the others wait.
		done := tokenInBackground(fleet[0].ServiceAccount())
		time.Sleep(time.Second)
		together(8, func(i int) { accessToken(t, fleet[i].ServiceAccount()) })
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := looker.Count(lookertest.OpLogin, "") - before; n != 1 {
			t.Errorf("%d logins, want 1", n)
		}
	})
}

func TestLeaseThatCloseCutShortIsTakenOut(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one := newCache(t, looker, withStore(slowSwap{store}))
		tokenInBackground(one.ServiceAccount())
		time.Sleep(50 * time.Millisecond) // the lease is there, and the answer not yet
		closeCache(t, one)
		before := time.Now()
		accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
		checkTook(t, before, 0)
	})
}

func TestLogoutDuringARefreshThatFailsLeavesNoLease(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one, other := newCache(t, looker, withStore(store)), newCache(t, looker, withStore(store))
		accessToken(t, one.User("789"))
		accessToken(t, other.User("789"))
		time.Sleep(58 * time.Minute)
		slow := answered(403)
		slow.Delay = time.Second
		looker.FailNext(lookertest.OpLoginUser, slow)
		accessToken(t, one.User("789")) // which is refreshed
		synctest.Wait()
		logOut(t, other.User("789"))
		time.Sleep(2 * time.Second)
		before := time.Now()
		accessToken(t, other.User("789"))
		checkTook(t, before, 0)
	})
}

// stepsAt is the time package's clock, which is set forward by two hours at one look.
type stepsAt struct{ looks, at, offset atomic.Int64 }

func (c *stepsAt) Now() time.Time {
	if c.looks.Add(1) == c.at.Load() {
		c.offset.Store(int64(2 * time.Hour))
	}
	return time.Now().Add(time.Duration(c.offset.Load()))
}

func (c *stepsAt) After(d time.Duration) <-chan time.Time { return time.After(d) }

// With one slot, a login that held it while it waits for the service account's would wait for ever.
func TestNobodyHoldsASlotWhileTheServiceAccountIsWaitedFor(t *testing.T) {
	for at := range int64(40) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			clock := &stepsAt{}
			store := withStore(newMemoryStore())
			cache := newCache(t, looker, withClock(clock), maxConcurrentLogins(1), store)
			accessToken(t, cache.ServiceAccount())
			clock.at.Store(clock.looks.Load() + at)
			before := time.Now()
			_, err := cache.User("789").Token()
			if took := time.Since(before); err != nil || took > time.Second {
				t.Errorf("at look %d: %v after %v", at, err, took)
			}
		})
	}
}
