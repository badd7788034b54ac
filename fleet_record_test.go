package lookerauth_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestStoreHoldsNothingInTheClear(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		cache := newCache(t, looker, withStore(store))
		cfg := looker.Config()
		secrets := []string{cfg.ClientID, cfg.ClientSecret, "user-789", accessToken(t, cache.User("user-789")), accessToken(t, cache.ServiceAccount())}
		if len(store.values) != 2 {
			t.Fatalf("%d values, want 2", len(store.values))
		}
		for name, s := range store.values {
			if len(name) > 64 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
				t.Errorf("the name %q has more than letters, digits, - and _", name)
			}
			for _, secret := range secrets {
				if strings.Contains(name, secret) || bytes.Contains(s.value, []byte(secret)) {
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
				if got := whoAnswered(t, t.Context(), other.User(userID).Client(), looker.URL+"/api/4.0/looks"); got != userID {
					t.Errorf("user %s was answered as %q", userID, got)
				}
			}
		}
	})
}

func TestForgedValueIsAMiss(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(store)).ServiceAccount())
		name := store.names()[0]
		genuine := store.values[name].value
		for i := range genuine {
			forged := bytes.Clone(genuine)
			forged[i] ^= 1
			store.values[name] = stored{forged, time.Now().Add(time.Hour)}
			cache := newCache(t, looker, withStore(store))
			if accessToken(t, cache.ServiceAccount()); cache.Stats().StoreHits != 0 {
				t.Errorf("the value was taken with byte %d changed", i)
			}
		}
		for _, forged := range [][]byte{nil, {}, genuine[:11], genuine[:len(genuine)-1]} {
			store.values[name] = stored{forged, time.Now().Add(time.Hour)}
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
		now := time.Now().UnixNano()
		for _, text := range []string{
			"",
			"a token",
			fmt.Sprintf(`{"sent":%d,"life":3600000000000}`, now),
			fmt.Sprintf(`{"access_token":"two words","sent":%d,"life":3600000000000}`, now),
			fmt.Sprintf(`{"access_token":"forged","sent":%d,"life":0}`, now),
			fmt.Sprintf(`{"access_token":"forged","sent":%d,"life":-1}`, now),
			fmt.Sprintf(`{"access_token":"forged","sent":%d,"life":86400000000001}`, now), // a nanosecond more than a day
		} {
			store.values[name] = stored{aead.Seal(nil, nil, []byte(text), []byte(name)), time.Now().Add(time.Hour)}
			cache := newCache(t, looker, withStore(store))
			if accessToken(t, cache.ServiceAccount()); cache.Stats().StoreHits != 0 {
				t.Errorf("%s was taken for a token", text)
			}
		}
	})
}

func TestOtherStoreKeysReadNothingAndStillWork(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		accessToken(t, newCache(t, looker, withStore(store)).User("789"))
		var log bytes.Buffer
		cache := newCache(t, looker, withStore(store, bytes.Repeat([]byte{2}, 32)), logOf(&log))
		accessToken(t, cache.User("789"))
		checkCalls(t, looker, 2, 2)
		if n := strings.Count(log.String(), "does not open"); n != 1 || cache.Stats().StoreHits != 0 {
			t.Errorf("%d hits; logged %d times:\n%s", cache.Stats().StoreHits, n, log.String())
		}
	})
}

func TestStoreKeyIsReplacedWithoutALogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, another := newMemoryStore(), bytes.Repeat([]byte{2}, 32)
		for _, keys := range [][][]byte{{oneKey}, {oneKey, another}, {another, oneKey}} {
			cache := newCache(t, looker, withStore(store, keys...))
			accessToken(t, cache.User("789"))
			checkCalls(t, looker, 1, 1)
		}
		// With another one in front, that one seals.
		accessToken(t, newCache(t, looker, withStore(store, another, oneKey)).User("790"))
		accessToken(t, newCache(t, looker, withStore(store, another)).User("790"))
		if n := looker.CallsAs(lookertest.LoginUser, "790"); n != 1 {
			t.Errorf("%d logins of a user whose token was sealed with the first key, want 1", n)
		}
	})
}

func TestInstancesKeysAndKindsOfTokenDoNotMix(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		for i, change := range []func(*lookerauth.Config){
			func(*lookerauth.Config) {},
			func(cfg *lookerauth.Config) { cfg.BaseURL = "https://looker.example" },
			func(cfg *lookerauth.Config) { cfg.BaseURL = "https://looker.example/bi" },
			func(cfg *lookerauth.Config) { cfg.APIVersion = "3.1" },
			func(cfg *lookerauth.Config) { cfg.ClientID = "another" },
			func(cfg *lookerauth.Config) { cfg.NonAssociative = true },
		} {
			cache := newCache(t, looker, withStore(store), change, func(cfg *lookerauth.Config) { cfg.Transport = answerLogins() })
			accessToken(t, cache.User("789"))
			accessToken(t, cache.User(`789" "`))
			if n := len(store.names()); n != 3*(i+1) {
				t.Errorf("Config %d: %d names in the store, want %d", i, n, 3*(i+1))
			}
		}
		same := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) {
			cfg.BaseURL, cfg.APIVersion, cfg.Transport = "HTTPS://Looker.example:443/", "4.0", answerLogins()
		})
		if accessToken(t, same.User("789")); same.Stats().StoreHits != 2 { // the user's and the service account's
			t.Error("another spelling of the base URL is another instance")
		}
	})
}

// Until Looker has let the new key in, the users' tokens come from the old one's account.
func TestNoTokenOfTheOldKeyIsStoredUnderTheNewOne(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, key := newMemoryStore(), looker.Config()
		clientID := key.ClientID
		cache := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) {
			cfg.Credentials = func(context.Context) (string, string, error) { return clientID, key.ClientSecret, nil }
		})
		accessToken(t, cache.ServiceAccount())
		time.Sleep(58 * time.Minute)
		clientID = "new"
		accessToken(t, cache.ServiceAccount()) // its refresh fails
		synctest.Wait()
		accessToken(t, cache.User("789"))

		looker.SetKey("new", key.ClientSecret)
		other := newCache(t, looker, withStore(store), func(cfg *lookerauth.Config) { cfg.ClientID = "new" })
		if accessToken(t, other.User("789")); other.Stats().StoreHits != 0 {
			t.Error("another account's token was taken from the store")
		}
	})
}

func TestStoreKeepsTheKeysOfDifferentAccountsApartDuringARotation(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store, cfg, asked := newMemoryStore(), looker.Config(), 0
		rotated := newCache(t, looker, withStore(store), func(c *lookerauth.Config) {
			c.Credentials = func(context.Context) (string, string, error) {
				asked++
				if asked == 1 {
					return "old", "key", nil
				}
				return cfg.ClientID, cfg.ClientSecret, nil
			}
		})
		for _, userID := range []string{"1", "2", "3"} {
			accessToken(t, rotated.User(userID))
		}
		if asked != 2 {
			t.Errorf("asked for the key %d times, want once to look in the store and once to log in", asked)
		}
		old := newCache(t, looker, withStore(store), func(c *lookerauth.Config) { c.ClientID, c.ClientSecret = "old", "key" })
		if _, err := old.ServiceAccount().Token(); !errors.Is(err, lookerauth.ErrBadCredentials) {
			t.Errorf("the old account: %v", err)
		}
	})
}
