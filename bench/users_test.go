package bench

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
)

// populationSizes are the numbers of users that are cached.
func populationSizes() []int {
	if testing.Short() {
		return []int{1_000, 100_000}
	}
	return []int{1_000, 100_000, 1_000_000}
}

// userContestants get the token of one of many users. Each goroutine opens a contestant for itself.
var userContestants = []struct {
	name string
	open func(users int) func(userID string) (token string, err error)
}{
	{"lookerauth", func(users int) func(string) (string, error) {
		cache := inLookerauth(users)
		return func(userID string) (string, error) {
			t, err := cache.User(userID).TokenContext(context.Background())
			if err != nil {
				return "", err
			}
			return t.AccessToken, nil
		}
	}},
	{"lookerauth-request", openRequests},
	// What does the same work: keeps the users that were used last, and looks at the clock.
	{"expirable", func(users int) func(string) (string, error) {
		cache := inExpirable(users)
		return func(userID string) (string, error) { return accessToken(cache.Get(userID)) }
	}},
	{"ttlcache", func(users int) func(string) (string, error) {
		cache := inTTLCache(users)
		return func(userID string) (string, error) {
			item := cache.Get(userID)
			if item == nil {
				return "", errMissing
			}
			return item.Value().AccessToken, nil
		}
	}},
	{"otter-expiry", func(users int) func(string) (string, error) {
		cache := inOtterExpiry(users)
		return func(userID string) (string, error) {
			return accessToken(cache.GetIfPresent(userID))
		}
	}},
	// What does less: its tokens never expire.
	{"lru", func(users int) func(string) (string, error) {
		cache := inLRU(users)
		return func(userID string) (string, error) { return accessToken(cache.Get(userID)) }
	}},
	{"otter", func(users int) func(string) (string, error) {
		cache := inOtter(users)
		return func(userID string) (string, error) {
			return accessToken(cache.GetIfPresent(userID))
		}
	}},
	// The floor: nothing is evicted, so nobody keeps account of who was used last.
	{"syncmap", func(users int) func(string) (string, error) {
		tokens := inMap(users)
		return func(userID string) (string, error) {
			value, ok := tokens.Load(userID)
			if !ok {
				return "", errMissing
			}
			return value.(*oauth2.Token).AccessToken, nil
		}
	}},
}

var errMissing = errors.New("the user is not there")

func accessToken(t *oauth2.Token, ok bool) (string, error) {
	if !ok {
		return "", errMissing
	}
	return t.AccessToken, nil
}

// openRequests gets a user's token as a request does whose context names the user. The public way
// to it is Cache.Transport, so this is a request as a whole: it makes a context and a request for
// each look-up, as a server has them, and the Transport copies the request and its header, which
// is empty here.
func openRequests(users int) func(string) (string, error) {
	base := new(sink)
	transport := inLookerauth(users).Transport(base)
	address, err := url.Parse(lookerURL + "/api/4.0/user")
	if err != nil {
		panic(err)
	}
	template := &http.Request{Method: http.MethodGet, URL: address, Header: make(http.Header)}
	return func(userID string) (string, error) {
		ctx := lookerauth.WithUser(context.Background(), userID)
		if _, err := transport.RoundTrip(template.WithContext(ctx)); err != nil {
			return "", err
		}
		return strings.TrimPrefix(base.last.Header["Authorization"][0], "token "), nil
	}
}

// picker picks users at random, for one goroutine. It is cheap, and picks the same users for every
// contestant.
type picker struct {
	ids    []string
	random rand.PCG
}

func newPicker(ids []string, seed uint64) *picker { return &picker{ids, *rand.NewPCG(seed, seed)} }

func (p *picker) next() string {
	index, _ := bits.Mul64(p.random.Uint64(), uint64(len(p.ids)))
	return p.ids[index]
}

func BenchmarkUsers(b *testing.B) {
	for _, users := range populationSizes() {
		for _, contestant := range userContestants {
			b.Run(fmt.Sprintf("users=%d/%s", users, contestant.name), func(b *testing.B) {
				ids := userIDs(users)
				warmUp(b, contestant.open(users), ids)
				var goroutines atomic.Uint64
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					get, pick := contestant.open(users), newPicker(ids, goroutines.Add(1))
					userID := ids[0]
					// As they are if this goroutine gets no turn.
					token, err := tokenOf(userID), error(nil)
					for pb.Next() {
						userID = pick.next()
						if token, err = get(userID); err != nil {
							break
						}
					}
					if token != tokenOf(userID) || err != nil {
						b.Errorf("user %s: got the token %q and the error %v", userID, token, err)
					}
				})
			})
		}
	}
}

// warm are the benchmarks that were warmed up.
var warm = make(map[string]bool)

// warmUp looks every user up once, as in a process that has been running for a while. What a first
// look-up costs would otherwise be in the figures to a part that depends on how many there are.
func warmUp(b *testing.B, get func(userID string) (string, error), ids []string) {
	if warm[b.Name()] {
		return
	}
	warm[b.Name()] = true
	for _, userID := range ids {
		if _, err := get(userID); err != nil {
			b.Fatal(err)
		}
	}
}

func TestUserContestantsGetEachUsersToken(t *testing.T) {
	const users = 1_000
	for _, contestant := range userContestants {
		t.Run(contestant.name, func(t *testing.T) {
			get := contestant.open(users)
			for _, userID := range userIDs(users) {
				if token, err := get(userID); token != tokenOf(userID) || err != nil {
					t.Fatalf("user %s: got the token %q and the error %v", userID, token, err)
				}
			}
		})
	}
}

func TestTokensOfPeersExpireADayAfterTheyWereIssued(t *testing.T) {
	const users = 1_000
	userID := userIDs(users)[0]

	tokens := inTTLCache(users)
	expiry := tokens.Get(userID).ExpiresAt()
	checkLife(t, "ttlcache", time.Until(expiry))
	if now := tokens.Get(userID).ExpiresAt(); !now.Equal(expiry) {
		t.Errorf("ttlcache: a token that was read expires at %v, not at %v", now, expiry)
	}

	entry, _ := inOtterExpiry(users).GetEntry(userID)
	checkLife(t, "otter", entry.ExpiresAfter())
}

func checkLife(t *testing.T, name string, life time.Duration) {
	t.Helper()
	if life <= 0 || life > tokenLife {
		t.Errorf("%s: a token expires in %v, want at most %v", name, life, tokenLife)
	}
}
