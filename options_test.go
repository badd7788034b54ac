package lookerauth_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/lookerauth/lookerauth"
)

// option changes what newCache makes a Cache of.
type option = func(*lookerauth.Config)

// An API key that is valid as far as New can tell.
const (
	testID     = "the-client-id"
	testSecret = "the-client-secret"
)

// testConfig is a valid Config for a Looker that nobody asks.
func testConfig() lookerauth.Config {
	return lookerauth.Config{
		BaseURL: "https://looker.example", ClientID: testID, ClientSecret: testSecret,
	}
}

func maxUsers(n int) option { return func(cfg *lookerauth.Config) { cfg.MaxUsers = n } }

func maxConcurrentLogins(n int) option {
	return func(cfg *lookerauth.Config) { cfg.MaxConcurrentLogins = n }
}

func loginTimeout(d time.Duration) option {
	return func(cfg *lookerauth.Config) { cfg.LoginTimeout = d }
}

func withBaseURL(baseURL string) option {
	return func(cfg *lookerauth.Config) { cfg.BaseURL = baseURL }
}

func withAPIVersion(version string) option {
	return func(cfg *lookerauth.Config) { cfg.APIVersion = version }
}

func withClock(clock lookerauth.Clock) option {
	return func(cfg *lookerauth.Config) { cfg.Clock = clock }
}

func withTransport(base http.RoundTripper) option {
	return func(cfg *lookerauth.Config) { cfg.Transport = base }
}

// withLog has handler get every event.
func withLog(handler slog.Handler) option {
	return func(cfg *lookerauth.Config) { cfg.Logger = slog.New(handler) }
}

func withKey(clientID, clientSecret string) option {
	return func(cfg *lookerauth.Config) { cfg.ClientID, cfg.ClientSecret = clientID, clientSecret }
}

// withAPIKey has f say the API key.
func withAPIKey(f func() (clientID, clientSecret string, err error)) option {
	return func(cfg *lookerauth.Config) {
		cfg.ClientID, cfg.ClientSecret = "", ""
		cfg.APIKey = func(context.Context) (lookerauth.APIKey, error) {
			clientID, clientSecret, err := f()
			return lookerauth.APIKey{ClientID: clientID, ClientSecret: clientSecret}, err
		}
	}
}

func withAfterLogin(f func(context.Context, lookerauth.Login) error) option {
	return func(cfg *lookerauth.Config) { cfg.AfterLogin = f }
}

// afterLogin is withAfterLogin for an f that needs to know nothing.
func afterLogin(f func() error) option {
	return withAfterLogin(func(context.Context, lookerauth.Login) error { return f() })
}

// Keys of a Store.
var (
	oneKey     = bytes.Repeat([]byte{1}, 32)
	anotherKey = bytes.Repeat([]byte{2}, 32)
)

// withStore makes the Cache one of a fleet. Without keys, it has oneKey.
func withStore(store lookerauth.Store, keys ...[]byte) option {
	if keys == nil {
		keys = [][]byte{oneKey}
	}
	return func(cfg *lookerauth.Config) { cfg.Store, cfg.StoreKeys = store, keys }
}
