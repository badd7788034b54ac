package lookerauth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
	"golang.org/x/oauth2"
)

func TestBaseURLIsChecked(t *testing.T) {
	for _, test := range []struct {
		name, baseURL, want string // want "": it is fine
	}{
		{"as it is", "https://looker.example", ""},
		{"slash at the end", "https://looker.example/", ""},
		{"prefix", "https://looker.example:19999/bi/eu/", ""},
		{"http to loopback", "http://127.1.2.3:8080", ""},
		{"http to localhost", "http://localhost:8080", ""},
		{"http to IPv6 loopback", "http://[::1]:8080", ""},

		{"none", "", "BaseURL is missing"},
		{"no scheme", "looker.example:19999", "BaseURL is not an address"},
		{"no scheme, no port", "looker.example", "BaseURL is not an address"},
		{"another scheme", "ftp://looker.example", "BaseURL is not an address"},
		{"no host", "https://:19999", "BaseURL is not an address"},
		{"control character", "https://looker\n.example", "BaseURL is not an address"},
		{"newline at the end", "https://looker.example\n", "BaseURL starts or ends with white space"},
		{"space before", " https://looker.example", "BaseURL starts or ends with white space"},
		{"bad port", "https://looker.example:99999", "BaseURL has a bad port"},
		{"empty port", "https://looker.example:", "BaseURL has a bad port"},
		{"host outside ASCII", "https://looker.mybİz.example", "BaseURL has a host with letters"},
		{"host outside ASCII, encoded", "https://l%C3%B6oker.example", "BaseURL has a host with"},
		{"host as DNS has it", "https://xn--lker-5qaa.example", ""},
		{"password", "https://me:" + testSecret + "@looker.example", "BaseURL has a user name"},
		{"query", "https://looker.example?a=b", "BaseURL has a query"},
		{"empty fragment", "https://looker.example#", "BaseURL has a query"},
		{"fragment", "https://looker.example#a", "BaseURL has a query"},
		{"API path", "https://looker.example/api/4.0", "ends in /api/4.0: leave that out"},
		{"API path, slash", "https://looker.example/api/4.0/", "ends in /api/4.0: leave that out"},
		{"dots", "https://looker.example/a/../b", "BaseURL has the path"},
		{"escapes", "https://looker.example/%2e%2e", "BaseURL has the path"},
		{"double slash", "https://looker.example/a//b", "BaseURL has the path"},
		{"http", "http://looker.example", "BaseURL is http://"},
		{"http to an address", "http://192.0.2.1", "BaseURL is http://"},
		{"http to a lookalike", "http://localhost.example", "BaseURL is http://"},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkNew(t, test.want, withBaseURL(test.baseURL))
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, test := range map[string]struct {
		change option
		want   string // "": the Config is fine
	}{
		"as it is": {func(*lookerauth.Config) {}, ""},
		"http allowed": {func(cfg *lookerauth.Config) {
			cfg.BaseURL, cfg.AllowHTTP = "http://looker.example", true
		}, ""},
		"credentials instead of a key": {withAPIKey(func() (string, string, error) {
			return "", "", nil
		}), ""},

		"version": {withAPIVersion("v4"), `APIVersion is "v4"`},

		"no id":     {withKey("", testSecret), "ClientID is missing"},
		"no secret": {withKey(testID, ""), "ClientSecret is missing"},
		"newline": {
			withKey(testID, testSecret+"\n"), "ClientSecret starts or ends with white space",
		},

		"no key, but UserToken": {func(cfg *lookerauth.Config) {
			withKey("", "")(cfg)
			cfg.UserToken = noUserToken
		}, ""},
		"half a key, and UserToken": {func(cfg *lookerauth.Config) {
			withKey(testID, "")(cfg)
			cfg.UserToken = noUserToken
		}, "ClientSecret is missing"},

		"UserAgent": {func(cfg *lookerauth.Config) {
			cfg.UserAgent = "me\r\nX: y"
		}, "UserAgent has a control character"},
		"MaxUsers": {maxUsers(-1), "MaxUsers is -1"},
		"RefreshBefore": {func(cfg *lookerauth.Config) {
			cfg.RefreshBefore = -time.Second
		}, "RefreshBefore is -1s"},
		"LoginTimeout":        {loginTimeout(-time.Second), "LoginTimeout is -1s"},
		"MaxConcurrentLogins": {maxConcurrentLogins(-1), "MaxConcurrentLogins is -1"},
	} {
		t.Run(name, func(t *testing.T) {
			checkNew(t, test.want, test.change)
		})
	}
}

func noUserToken(context.Context, lookerauth.UserTokenRequest) (*oauth2.Token, error) {
	return nil, errors.New("nobody has a token")
}

// checkNew compares what New says of testConfig with a change; "" stands for nothing.
func checkNew(t *testing.T, want string, change option) {
	t.Helper()
	cfg := testConfig()
	change(&cfg)
	cache, err := lookerauth.New(cfg)
	if want == "" {
		if err != nil {
			t.Fatal(err)
		}
		closeCache(t, cache)
		return
	}
	checkErrorSays(t, err, want)
	if err != nil && strings.Contains(err.Error(), testSecret) {
		t.Errorf("the secret is in the error: %v", err)
	}
}

func TestEveryBadFieldIsNamed(t *testing.T) {
	_, err := lookerauth.New(lookerauth.Config{
		APIVersion: "5", MaxUsers: -1, RefreshBefore: -1, LoginTimeout: -1, MaxConcurrentLogins: -1,
	})
	checkErrorSays(t, err, "BaseURL", "APIVersion", "ClientID", "ClientSecret",
		"MaxUsers", "RefreshBefore", "LoginTimeout", "MaxConcurrentLogins")
}

// Requests have their own.
func TestUserAgentIsThatOfOurOwnCalls(t *testing.T) {
	for set, want := range map[string]string{"": "lookerauth/devel", "report/1.2": "report/1.2"} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			setCustomer(looker, "789")
			cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.UserAgent = set })
			answersAs(t, cache.As(customer).Client(), looker, "789")
			closeCache(t, cache)
			for _, call := range looker.Requests() {
				want := want
				if call.Path == "/looks" {
					want = "Go-http-client/1.1"
				}
				if got := call.Header.Get("User-Agent"); got != want {
					t.Errorf("%s: %q, want %q", call.Path, got, want)
				}
			}
		})
	}
}

func TestStoreNeedsKeysOfTheRightSize(t *testing.T) {
	store := newMemoryStore()
	noKeys := func(cfg *lookerauth.Config) { cfg.Store = store }
	for want, change := range map[string]option{
		"Store and StoreKeys go together":                noKeys,
		"Store and StoreKeys go together: ":              withStore(nil, oneKey),
		"StoreKeys[1] has 16 bytes: use 32 random ones":  withStore(store, oneKey, oneKey[:16]),
		"StoreKeys[0] has 0 bytes: use 32 random ones\n": withStore(store, nil, []byte{}),
	} {
		checkNew(t, want, change)
	}
}

func TestDefaultsAreAsDocumented(t *testing.T) {
	t.Run("LoginTimeout", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			failing(looker, lookertest.OpLogin, delayed(time.Hour))
			before := time.Now()
			failsWith(t, newCache(t, looker).ServiceAccount(), context.DeadlineExceeded)
			checkTook(t, before, 30*time.Second)
		})
	})
	t.Run("MaxConcurrentLogins", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache := newCache(t, looker)
			accessToken(t, cache.ServiceAccount())
			failing(looker, lookertest.OpLoginUser, delayed(time.Second))
			before := time.Now()
			together(17, func(i int) { accessToken(t, cache.User(nthUser(i))) })
			checkTook(t, before, 2*time.Second) // as 16 are made at once
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
	// RefreshBefore: TestTokensIssuedTogetherAgeApart.
}
