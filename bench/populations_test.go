package bench

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
)

// userIDs are the ids of that many users, as requests would bring them along: other strings than those that are kept, so that
// comparing them takes every contestant a look at the bytes.
var userIDs = once(func(users int) []string {
	ids := make([]string, users)
	for i := range ids {
		ids[i] = strconv.Itoa(1_000_000 + i) // of one length
	}
	return ids
})

// The populations that are looked up, by number of users.
var (
	cached  = once(fillLookerauth)
	inLRU   = once(fillLRU)
	inOtter = once(fillOtter)
	inMap   = once(fillMap)
)

// once remembers what fill made for each size: go test comes back for it, with each -cpu and each -count.
func once[T any](fill func(users int) T) func(users int) T {
	var mu sync.Mutex
	made := make(map[int]T)
	return func(users int) T {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := made[users]; !ok {
			made[users] = fill(users)
		}
		return made[users]
	}
}

// fillLookerauth logs every user in. Nobody closes the Cache: no goroutine is left in it, and the process ends soon.
func fillLookerauth(users int) *lookerauth.Cache {
	cache := new(looker).newCache(users)
	forEachUser(users, func(userID string) {
		if _, err := cache.User(userID).TokenContext(context.Background()); err != nil {
			panic(err)
		}
	})
	return cache
}

func fillLRU(users int) *lru.Cache[string, *oauth2.Token] {
	cache, err := lru.New[string, *oauth2.Token](users)
	if err != nil {
		panic(err)
	}
	forEachUser(users, func(userID string) { cache.Add(userID, newToken(userID)) })
	return cache
}

func fillOtter(users int) *otter.Cache[string, *oauth2.Token] {
	cache := otter.Must(&otter.Options[string, *oauth2.Token]{MaximumSize: users})
	forEachUser(users, func(userID string) { cache.Set(userID, newToken(userID)) })
	return cache
}

func fillMap(users int) *sync.Map {
	var tokens sync.Map
	forEachUser(users, func(userID string) { tokens.Store(userID, newToken(userID)) })
	return &tokens
}

func newToken(userID string) *oauth2.Token {
	return &oauth2.Token{AccessToken: tokenOf(userID), Expiry: tomorrow()}
}

// forEachUser calls add with a copy of every user's id, on every core.
func forEachUser(users int, add func(userID string)) {
	ids := userIDs(users)
	var next atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(users); i = next.Add(1) - 1 {
				add(strings.Clone(ids[i]))
			}
		})
	}
	group.Wait()
}
