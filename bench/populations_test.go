package bench

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/jellydator/ttlcache/v3"
	"github.com/maypok86/otter/v2"
	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
)

// userIDs are the ids of that many users, as requests would bring them along: other strings than
// those that are kept, so that comparing them takes every contestant a look at the bytes.
var userIDs = once(func(users int) []string {
	ids := make([]string, users)
	for i := range ids {
		ids[i] = strconv.Itoa(1_000_000 + i) // of one length
	}
	return ids
})

// once remembers what fill made for each size.
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

// The populations that are looked up, by number of users. No user of one is evicted.
var (
	inLookerauth  = latest(fillLookerauth)
	inExpirable   = latest(fillExpirable)
	inTTLCache    = latest(fillTTLCache)
	inOtterExpiry = latest(fillOtterExpiry)
	inLRU         = latest(fillLRU)
	inOtter       = latest(fillOtter)
	inMap         = latest(fillMap)
)

// inMemory is the population that was filled last.
var inMemory struct {
	sync.Mutex
	kind       *int
	users      int
	population any
}

// latest remembers what fill made, until another population is filled: a million users take half
// a gigabyte, and go test is done with a benchmark, with each -cpu and each -count, before the
// next one begins.
func latest[T any](fill func(users int) T) func(users int) T {
	kind := new(int)
	return func(users int) T {
		inMemory.Lock()
		defer inMemory.Unlock()
		if inMemory.kind != kind || inMemory.users != users {
			inMemory.population = nil // makes room
			inMemory.kind, inMemory.users, inMemory.population = kind, users, fill(users)
		}
		return inMemory.population.(T)
	}
}

// fillLookerauth logs every user in. Nobody closes the Cache: no goroutine is left in it, and the
// process ends soon.
func fillLookerauth(users int) *lookerauth.Cache {
	cache := new(looker).newCache(users)
	forEachUser(users, func(userID string) {
		if _, err := cache.User(userID).TokenContext(context.Background()); err != nil {
			panic(err)
		}
	})
	return cache
}

// fillExpirable leaves a goroutine behind that never ends, and that keeps what it cleans up.
func fillExpirable(users int) *expirable.LRU[string, *oauth2.Token] {
	cache := expirable.NewLRU[string, *oauth2.Token](users, nil, tokenLife)
	forEachUser(users, func(userID string) { cache.Add(userID, newToken(userID)) })
	return cache
}

// fillTTLCache makes reading a token leave its expiry as it is, which by default it puts off: the
// life of a token is fixed. What cleans up is not started, as nothing expires; Get never returns
// what has expired.
func fillTTLCache(users int) *ttlcache.Cache[string, *oauth2.Token] {
	cache := ttlcache.New(
		ttlcache.WithCapacity[string, *oauth2.Token](uint64(users)),
		ttlcache.WithTTL[string, *oauth2.Token](tokenLife),
		ttlcache.WithDisableTouchOnHit[string, *oauth2.Token](),
	)
	forEachUser(users, func(userID string) {
		cache.Set(userID, newToken(userID), ttlcache.DefaultTTL)
	})
	return cache
}

// fillOtterExpiry leaves a goroutine behind that ends once the cache is gone.
func fillOtterExpiry(users int) *otter.Cache[string, *oauth2.Token] {
	return fillOtterWith(users, otter.ExpiryWriting[string, *oauth2.Token](tokenLife))
}

func fillOtter(users int) *otter.Cache[string, *oauth2.Token] {
	return fillOtterWith(users, nil)
}

func fillOtterWith(
	users int, expiry otter.ExpiryCalculator[string, *oauth2.Token],
) *otter.Cache[string, *oauth2.Token] {
	cache := otter.Must(&otter.Options[string, *oauth2.Token]{
		MaximumSize:      users,
		ExpiryCalculator: expiry,
	})
	forEachUser(users, func(userID string) { cache.Set(userID, newToken(userID)) })
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
