package lookerauth_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestEvictedUserIsLoggedOutAndItsHandleWorksAgain(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(2))
		first := cache.User("789")
		token := accessToken(t, first)
		accessToken(t, cache.User("790"))
		accessToken(t, cache.User("791"))
		synctest.Wait()
		checkAlive(t, looker, "789", 0)
		if accessToken(t, first) == token {
			t.Error("the evicted token was served")
		}
		synctest.Wait()
		stats := cache.Stats()
		if stats.Users != 2 || stats.Evictions != 2 || stats.Logouts != 2 || stats.Logins != 5 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestLeastRecentlyUsedIsEvicted(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxUsers(3))
		one := cache.User("789") // a handle that is kept counts as use, too
		accessToken(t, one)
		accessToken(t, cache.User("790"))
		accessToken(t, cache.User("791"))
		accessToken(t, one)
		accessToken(t, cache.User("792"))
		synctest.Wait()
		checkAlive(t, looker, "789", 1)
		checkAlive(t, looker, "790", 0)
		checkAlive(t, looker, "791", 1)
		checkAlive(t, looker, "792", 1)
	})
}

func TestUserUsedWithinASixteenthOfTheCacheIsNotEvicted(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const size = 64
		cache := newCache(t, looker, maxUsers(size))
		regular := cache.User("regular")
		for i := range 5 * size {
			accessToken(t, cache.User(nthUser(i)))
			if i%(size/16) == 0 {
				accessToken(t, regular)
			}
		}
		checkLogins(t, looker, "regular", 1)
	})
}

// Recency is measured in users taken in. One that was used later than another may be evicted before
// it, but only if fewer than a sixteenth of the cache were taken in between.
func TestEvictionOrderIsWrongByASixteenthOfTheCacheAtMost(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const size, wrong = 64, 3
		evicted := make(chan string, 1)
		looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			if call.Op == lookertest.OpLogout {
				evicted <- call.UserID
			}
			return lookertest.Fault{}
		})
		cache := newCache(t, looker, maxUsers(size))
		takenIn, lastUse := 0, map[string]int{} // lastUse is what takenIn was then
		random := rand.New(rand.NewPCG(1, 2))
		for range 4000 {
			userID := fmt.Sprint(random.ExpFloat64() * 2 * size)[:2] // few users often, many rarely
			accessToken(t, cache.User(userID))
			if _, cached := lastUse[userID]; !cached {
				takenIn++
			}
			lastUse[userID] = takenIn
			if len(lastUse) <= size {
				continue
			}
			gone := <-evicted
			oldest := slices.Min(slices.Collect(maps.Values(lastUse)))
			if lastUse[gone]-oldest > wrong {
				t.Fatalf("%s was evicted, used when %d users had been taken in; the oldest at %d",
					gone, lastUse[gone], oldest)
			}
			delete(lastUse, gone)
		}
		if n := cache.Stats().Evictions; n < 500 {
			t.Errorf("only %d evictions", n)
		}
		looker.FailFunc(nil)
	})
}

func TestHandleNeverServesAnEvictedToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const size = 64
		cache := newCache(t, looker, maxUsers(size))
		var handles []*lookerauth.TokenSource
		for i := range size {
			handles = append(handles, cache.User(nthUser(i)))
			accessToken(t, handles[i])
		}
		for _, handle := range handles { // all are equally recent now
			accessToken(t, handle)
		}
		accessToken(t, cache.User("one too many"))
		synctest.Wait()
		evicted, alive := 0, looker.Alive()
		for i, handle := range handles {
			if alive[nthUser(i)] == 1 {
				continue
			}
			evicted++
			answersAs(t, handle.Client(), looker, nthUser(i))
		}
		if replays := cache.Stats().Replays; evicted != 1 || replays != 0 {
			t.Errorf("%d evicted, %d requests sent with a revoked token", evicted, replays)
		}
	})
}

func TestMadeUpUsersEvictNobody(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var live []string
		for i := range 50 {
			live = append(live, nthUser(i))
		}
		setUsers(looker, live...)
		cache := newCache(t, looker, maxUsers(len(live)))
		for _, userID := range live {
			accessToken(t, cache.User(userID))
		}
		for i := range 2000 {
			failsWith(t, cache.User(fmt.Sprintf("made-up-%d", i)), lookerauth.ErrUserNotFound)
		}
		for _, userID := range live {
			accessToken(t, cache.User(userID))
			checkLogins(t, looker, userID, 1)
		}
	})
}
