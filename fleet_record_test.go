package lookerauth_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestStoreHoldsNothingInTheClear(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store))
		cfg := looker.Config()
		secrets := []string{
			cfg.ClientID, cfg.ClientSecret, "user-789",
			accessToken(t, cache.User("user-789")), accessToken(t, cache.ServiceAccount()),
		}
		store.checkSize(t, 2)
		validName := regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
		for _, name := range store.names() {
			if !validName.MatchString(name) {
				t.Errorf("the name %q has more than 64 letters, digits, - and _", name)
			}
			for _, secret := range secrets {
				if strings.Contains(name+string(store.get(name).value), secret) {
					t.Errorf("%q is in the name %q or its value", secret, name)
				}
			}
		}
	})
}

func TestSwappedValuesNeverSwapUsers(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one := newCache(t, looker, withStore(store))
		accessToken(t, one.User("1"))
		accessToken(t, one.User("2"))
		names := store.names() // of the service account and both users
		for _, pair := range [][2]int{{0, 1}, {0, 2}, {1, 2}} {
			store.swap(names[pair[0]], names[pair[1]])
			other := newCache(t, looker, withStore(store))
			for _, userID := range []string{"1", "2"} {
				answersAs(t, other.User(userID).Client(), looker, userID)
			}
		}
	})
}

func TestForgedValueIsAMiss(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
		name := store.names()[0]
		genuine := store.get(name).value
		for i := range genuine {
			forged := bytes.Clone(genuine)
			forged[i] ^= 1
			store.set(name, forged, time.Hour)
			cache := newCache(t, looker, withStore(store))
			accessToken(t, cache.ServiceAccount())
			checkStoreHits(t, cache, 0)
		}
		for _, forged := range [][]byte{{0}, genuine[:11], genuine[:len(genuine)-1]} {
			store.set(name, forged, time.Hour)
			accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
		}
	})
}

// They open: something else in the fleet has the keys.
func TestValueThatHoldsNoTokenIsAMiss(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
		name := store.names()[0]
		aead := must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(oneKey))))
		now := time.Now().UTC().Format(time.RFC3339Nano)
		for _, text := range []string{
			"",
			"a token",
			"null",
			"{}",
			`{"token":"4QDk"}`,
			`{"token":{"sent":"` + now + `","life":3600000000000}}`,
			`{"token":{"access_token":"two words","sent":"` + now + `","life":3600000000000}}`,
			`{"token":{"access_token":"forged","sent":"` + now + `","life":0}}`,
			`{"token":{"access_token":"forged","sent":"` + now + `","life":-1}}`,
			`{"token":{"access_token":"forged","sent":"` + now + `","life":86400000000001}}`,
			`{"token":{"access_token":"forged","life":3600000000000}}`, // of the year 1
			`{"token":{"access_token":"forged","sent":"` + now + `","life":3600000000000}}` +
				strings.Repeat(" ", 8<<10), // longer than a value may be
		} {
			store.set(name, aead.Seal(nil, nil, []byte(text), []byte(name)), time.Hour)
			cache := newCache(t, looker, withStore(store))
			if accessToken(t, cache.ServiceAccount()); cache.Stats().StoreHits != 0 {
				t.Errorf("%s was taken for a token", text)
			}
		}
	})
}

// A Store refuses a longer value, and would be left alone for that.
func TestTokenThatMakesAValueTooLongIsNotStored(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		fleet, source := newElsewhereFleet(t, looker, 1, store)
		source.set(lasting(time.Second), func(t *oauth2.Token) *oauth2.Token {
			t.AccessToken = strings.Repeat("<", 2000) // six bytes each, as JSON
			return t
		})
		accessToken(t, fleet[0].User("789"))
		store.checkSize(t, 0)
	})
}

func TestOtherStoreKeysReadNothingAndStillWork(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(store)).User("789"))
		var log eventLog
		cache := newCache(t, looker, withStore(store, anotherKey), withLog(&log))
		accessToken(t, cache.User("789"))
		checkCalls(t, looker, 2, 2)
		log.check(t, "does not open", 1)
		checkStoreHits(t, cache, 0)
	})
}

func TestStoreKeyIsReplacedWithoutALogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		for _, keys := range [][][]byte{{oneKey}, {oneKey, anotherKey}, {anotherKey, oneKey}} {
			cache := newCache(t, looker, withStore(store, keys...))
			accessToken(t, cache.User("789"))
			checkCalls(t, looker, 1, 1)
		}
		// With another one in front, that one seals.
		accessToken(t, newCache(t, looker, withStore(store, anotherKey, oneKey)).User("790"))
		accessToken(t, newCache(t, looker, withStore(store, anotherKey)).User("790"))
		checkLogins(t, looker, "790", 1)
	})
}

func TestInstancesKeysAndKindsOfTokenDoNotMix(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		for i, change := range []option{
			func(*lookerauth.Config) {},
			withBaseURL("https://looker.example"),
			withBaseURL("https://looker.example/bi"),
			withAPIVersion("3.1"),
			func(cfg *lookerauth.Config) { cfg.ClientID = "another" },
			func(cfg *lookerauth.Config) { cfg.NonAssociative = true },
		} {
			cache := newCache(t, looker, withStore(store), change, withTransport(answerLogins()))
			accessToken(t, cache.User("789"))
			accessToken(t, cache.User("789 4.0"))
			store.checkSize(t, 3*(i+1))
		}
		// Another spelling of the base URL is no other instance.
		same := newCache(t, looker, withStore(store), withTransport(answerLogins()),
			withBaseURL("HTTPS://Looker.example:443/"), withAPIVersion("4.0"))
		accessToken(t, same.User("789"))
		checkStoreHits(t, same, 2) // the user's and the service account's
	})
}

// Until Looker has let the new key in, the users' tokens come from the old one's account.
func TestNoTokenOfTheOldKeyIsStoredUnderTheNewOne(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, key := newMemoryStore(), looker.Config()
		clientID := key.ClientID
		changing := withAPIKey(func() (string, string, error) {
			return clientID, key.ClientSecret, nil
		})
		cache := newCache(t, looker, withStore(store), changing)
		accessToken(t, cache.ServiceAccount())
		time.Sleep(58 * time.Minute)
		clientID = "new"
		accessToken(t, cache.ServiceAccount()) // its refresh fails
		synctest.Wait()
		accessToken(t, cache.User("789"))

		looker.SetKey("new", key.ClientSecret)
		other := newCache(t, looker, withStore(store), withKey("new", key.ClientSecret))
		accessToken(t, other.User("789"))
		checkStoreHits(t, other, 0)
	})
}

func TestStoreKeepsTheKeysOfDifferentAccountsApartDuringARotation(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, cfg, asked := newMemoryStore(), looker.Config(), 0
		rotating := withAPIKey(func() (string, string, error) {
			asked++
			if asked == 1 {
				return "old", "key", nil
			}
			return cfg.ClientID, cfg.ClientSecret, nil
		})
		rotated := newCache(t, looker, withStore(store), rotating)
		useUsers(t, rotated, 3)
		if asked != 2 {
			t.Errorf("asked for the key %d times, want once to look in the store, once to log in",
				asked)
		}
		other := newCache(t, looker, withStore(store)) // which has the new key
		accessToken(t, other.ServiceAccount())
		checkStoreHits(t, other, 1)
		old := newCache(t, looker, withStore(store), withKey("old", "key"))
		failsWith(t, old.ServiceAccount(), lookerauth.ErrBadAPIKey)
	})
}

// replays is a Store that brings old values of one name back, one after the other.
type replays struct {
	*memoryStore
	name string
	old  [][]byte
	next int
}

func (r *replays) Get(ctx context.Context, name string) ([]byte, error) {
	if name != r.name || r.next >= len(r.old) {
		return r.memoryStore.Get(ctx, name)
	}
	r.next++
	return r.old[r.next-1], nil
}

func (r *replays) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	if name == r.name && r.next < len(r.old) {
		return r.Get(ctx, name)
	}
	return r.memoryStore.CompareAndSwap(ctx, name, old, next, ttl)
}

// Two are taken, in the hope that the second has replaced the first; then one is issued.
func TestOldValuesThatComeBackFailNoRequest(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		one := newCache(t, looker, withStore(store))
		accessToken(t, one.ServiceAccount())
		service := store.names()[0]
		hostile := &replays{memoryStore: store}
		for range 4 {
			accessToken(t, one.User("789"))
			for _, name := range store.names() {
				if name != service {
					hostile.name = name
				}
			}
			hostile.old = append(hostile.old, store.get(hostile.name).value)
			time.Sleep(20 * time.Second)
			invalidate(t, one.User("789"))
		}
		looker.Revoke("789")
		other := newCache(t, looker, withStore(hostile))
		before := looker.Count(lookertest.OpLoginUser, "789")
		answersAs(t, other.User("789").Client(), looker, "789")
		if n := looker.Count(lookertest.OpLoginUser, "789") - before; n != 1 {
			t.Errorf("%d logins, want 1", n)
		}
	})
}

// A process with another key fails no operation, and logs everybody in for itself.
func TestMiskeyedProcessIsSeenAndToldOnceAnHour(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		const users = 50
		store := newMemoryStore()
		useUsers(t, newCache(t, looker, withStore(store)), users)
		var log eventLog
		cache := newCache(t, looker, withStore(store, anotherKey), withLog(&log))
		useUsers(t, cache, users)
		stats := cache.Stats()
		if stats.StoreUnopened < users || stats.StoreErrors != 0 {
			t.Errorf("%d values did not open, %d errors", stats.StoreUnopened, stats.StoreErrors)
		}
		log.check(t, "stored value does not open", 1)

		time.Sleep(time.Hour)
		store.garble()
		useUsers(t, cache, users)
		lines := log.lines("stored value does not open")
		want := int64(stats.StoreUnopened)
		if len(lines) != 2 || counted(lines) != want+1 {
			t.Errorf("the lines are %v, want two that tell of %d", lines, want+1)
		}
		closeCache(t, cache) // which has the rest told
		lines = log.lines("stored value does not open")
		if all := cache.Stats().StoreUnopened; counted(lines) != int64(all) {
			t.Errorf("the lines are %v, want %d in all", lines, all)
		}
	})
}

func TestTokensOfTheFutureAreSeenAndToldOnceAnHour(t *testing.T) {
	for ahead, want := range map[time.Duration]uint64{
		2 * time.Hour: 3, 2 * time.Second: 3,
		time.Second: 0, 0: 0, -2 * time.Hour: 0, // no clock is exact; an old one is no harm
	} {
		t.Run(ahead.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				store, clock := withStore(newMemoryStore()), &steppedClock{}
				clock.step(ahead)
				useUsers(t, newCache(t, looker, store, withClock(clock)), 2)
				var log eventLog
				cache := newCache(t, looker, store, withLog(&log))
				useUsers(t, cache, 2)
				if got := cache.Stats().StoreAhead; got != want {
					t.Errorf("%d tokens were ahead, want %d", got, want)
				}
				log.check(t, "stored token is from the future", int(min(want, 1)))
			})
		})
	}
}
