package lookerauth_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestConfigIsChecked(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*lookerauth.Config)
		want   string // "": the Config is fine
	}{
		{"as it is", func(*lookerauth.Config) {}, ""},
		{"slash at the end", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example/" }, ""},
		{"prefix", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example:19999/bi/eu/" }, ""},
		{"http to loopback", func(c *lookerauth.Config) { c.BaseURL = "http://127.1.2.3:8080" }, ""},
		{"http to localhost", func(c *lookerauth.Config) { c.BaseURL = "http://localhost:8080" }, ""},
		{"http to IPv6 loopback", func(c *lookerauth.Config) { c.BaseURL = "http://[::1]:8080" }, ""},
		{"http allowed", func(c *lookerauth.Config) { c.BaseURL, c.AllowHTTP = "http://looker.example", true }, ""},
		{"credentials instead of a key", func(c *lookerauth.Config) {
			c.ClientID, c.ClientSecret = "", ""
			c.Credentials = func(context.Context) (string, string, error) { return "", "", nil }
		}, ""},

		{"no base URL", func(c *lookerauth.Config) { c.BaseURL = "" }, "BaseURL is missing"},
		{"no scheme", func(c *lookerauth.Config) { c.BaseURL = "looker.example:19999" }, "BaseURL is not an address"},
		{"no scheme, no port", func(c *lookerauth.Config) { c.BaseURL = "looker.example" }, "BaseURL is not an address"},
		{"another scheme", func(c *lookerauth.Config) { c.BaseURL = "ftp://looker.example" }, "BaseURL is not an address"},
		{"no host", func(c *lookerauth.Config) { c.BaseURL = "https://:19999" }, "BaseURL is not an address"},
		{"control character", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example\n" }, "BaseURL is not an address"},
		{"bad port", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example:99999" }, "BaseURL has a bad port"},
		{"empty port", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example:" }, "BaseURL has a bad port"},
		{"password", func(c *lookerauth.Config) { c.BaseURL = "https://me:" + testSecret + "@looker.example" }, "BaseURL has a user name"},
		{"query", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example?a=b" }, "BaseURL has a query"},
		{"empty fragment", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example#" }, "BaseURL has a query"},
		{"fragment", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example#a" }, "BaseURL has a query"},
		{"API path", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example/api/4.0" }, "ends in /api/4.0: leave that out"},
		{"API path with a slash", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example/api/4.0/" }, "ends in /api/4.0: leave that out"},
		{"dots", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example/a/../b" }, "BaseURL has the path"},
		{"escapes", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example/%2e%2e" }, "BaseURL has the path"},
		{"double slash", func(c *lookerauth.Config) { c.BaseURL = "https://looker.example/a//b" }, "BaseURL has the path"},
		{"http", func(c *lookerauth.Config) { c.BaseURL = "http://looker.example" }, "BaseURL is http://"},
		{"http to a lookalike", func(c *lookerauth.Config) { c.BaseURL = "http://localhost.example" }, "BaseURL is http://"},
		{"version", func(c *lookerauth.Config) { c.APIVersion = "v4" }, `APIVersion is "v4"`},
		{"no id", func(c *lookerauth.Config) { c.ClientID = "" }, "ClientID is missing"},
		{"no secret", func(c *lookerauth.Config) { c.ClientSecret = "" }, "ClientSecret is missing"},
		{"newline", func(c *lookerauth.Config) { c.ClientSecret += "\n" }, "ClientSecret starts or ends with white space"},
		{"MaxUsers", func(c *lookerauth.Config) { c.MaxUsers = -1 }, "MaxUsers is -1"},
		{"RefreshBefore", func(c *lookerauth.Config) { c.RefreshBefore = -time.Second }, "RefreshBefore is -1s"},
		{"LoginTimeout", func(c *lookerauth.Config) { c.LoginTimeout = -time.Second }, "LoginTimeout is -1s"},
		{"MaxConcurrentLogins", func(c *lookerauth.Config) { c.MaxConcurrentLogins = -1 }, "MaxConcurrentLogins is -1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := lookerauth.Config{BaseURL: "https://looker.example", ClientID: testID, ClientSecret: testSecret}
			test.change(&cfg)
			cache, err := lookerauth.New(cfg)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				closeCache(t, cache)
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), testSecret) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestEveryBadFieldIsNamed(t *testing.T) {
	_, err := lookerauth.New(lookerauth.Config{APIVersion: "5", MaxUsers: -1, RefreshBefore: -1, LoginTimeout: -1, MaxConcurrentLogins: -1})
	for _, field := range []string{"BaseURL", "APIVersion", "ClientID", "ClientSecret", "MaxUsers", "RefreshBefore", "LoginTimeout", "MaxConcurrentLogins"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not in: %v", field, err)
		}
	}
}

func TestStoreNeedsKeysOfTheRightSize(t *testing.T) {
	for want, change := range map[string]func(*lookerauth.Config){
		"Store and StoreKeys go together":                func(cfg *lookerauth.Config) { cfg.Store = newMemoryStore() },
		"Store and StoreKeys go together: ":              func(cfg *lookerauth.Config) { cfg.StoreKeys = [][]byte{oneKey} },
		"StoreKeys[1] has 16 bytes: use 32 random ones":  withStore(newMemoryStore(), oneKey, oneKey[:16]),
		"StoreKeys[0] has 0 bytes: use 32 random ones\n": withStore(newMemoryStore(), nil, []byte{}),
	} {
		cfg := lookerauth.Config{BaseURL: "https://looker.example", ClientID: testID, ClientSecret: testSecret}
		change(&cfg)
		if _, err := lookerauth.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestDefaultsAreAsDocumented(t *testing.T) {
	t.Run("LoginTimeout", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.Fail(lookertest.Login, 1, delayed(time.Hour))
			before := time.Now()
			failsWith(t, newCache(t, looker).ServiceAccount(), context.DeadlineExceeded)
			checkTook(t, before, 30*time.Second)
		})
	})
	t.Run("MaxConcurrentLogins", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache := newCache(t, looker)
			accessToken(t, cache.ServiceAccount())
			looker.Fail(lookertest.LoginUser, -1, delayed(time.Second))
			before := time.Now()
			var wg sync.WaitGroup
			for i := range 17 {
				wg.Go(func() { accessToken(t, cache.User(fmt.Sprint(i))) })
			}
			wg.Wait()
			checkTook(t, before, 2*time.Second)
		})
	})
	t.Run("MaxUsers", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache := newCache(t, looker, withTransport(answerLogins()))
			useUsers(t, cache, 10_001)
			if stats := cache.Stats(); stats.Users != 10_000 || stats.Evictions != 1 {
				t.Errorf("%+v", stats)
			}
		})
	})
	// RefreshBefore: TestTokensMintedTogetherAgeApart.
}
