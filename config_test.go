package lookerauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

const (
	testID     = "the-client-id"
	testSecret = "the-client-secret"
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
				if err := cache.Close(t.Context()); err != nil {
					t.Error(err)
				}
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

func TestDefaultsAreAsDocumented(t *testing.T) {
	t.Run("LoginTimeout", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.Fail(lookertest.Login, 1, lookertest.Fault{Delay: time.Hour})
			before := time.Now()
			if _, err := newCache(t, looker).ServiceAccount().Token(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(before); took != 30*time.Second {
				t.Errorf("a stalled login took %v", took)
			}
		})
	})
	t.Run("MaxConcurrentLogins", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache := newCache(t, looker)
			accessToken(t, cache.ServiceAccount())
			looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Delay: time.Second})
			before := time.Now()
			var wg sync.WaitGroup
			for i := range 17 {
				wg.Go(func() { accessToken(t, cache.User(fmt.Sprint(i))) })
			}
			wg.Wait()
			if took := time.Since(before); took != 2*time.Second {
				t.Errorf("17 logins of a second each took %v, want 2 s as 16 are made at once", took)
			}
		})
	})
	t.Run("MaxUsers", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Transport = answerLogins() })
			for i := range 10_001 {
				accessToken(t, cache.User(fmt.Sprint(i)))
			}
			if stats := cache.Stats(); stats.Users != 10_000 || stats.Evictions != 1 {
				t.Errorf("%+v", stats)
			}
		})
	})
	// RefreshBefore: TestTokensMintedTogetherAgeApart.
}

func TestConfigShowsNoSecret(t *testing.T) {
	cfg := lookerauth.Config{BaseURL: "https://looker.example", ClientID: testID, ClientSecret: testSecret}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	withPassword := cfg
	withPassword.BaseURL = "https://me:" + testSecret + "@looker.example"
	nested := struct{ Config *lookerauth.Config }{&cfg}
	var texts bytes.Buffer
	for _, value := range []any{cfg, &cfg, nested, []lookerauth.Config{cfg}, withPassword, cache, cache.ServiceAccount(), cache.User("789"), cache.Transport(nil)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&texts, verb+"\n", value)
		}
		if text, err := json.Marshal(value); err == nil {
			texts.Write(text)
		}
		slog.New(slog.NewJSONHandler(&texts, nil)).Info("json", "value", value)
		slog.New(slog.NewTextHandler(&texts, nil)).Info("text", "value", value)
	}
	for _, secret := range []string{testID, testSecret, fmt.Sprintf("%x", testSecret), fmt.Sprintf("%X", testSecret)} {
		if strings.Contains(texts.String(), secret) {
			t.Errorf("%q is in %s", secret, texts.String())
		}
	}
	if !strings.Contains(fmt.Sprint(cfg), `BaseURL: "https://looker.example"`) || !strings.Contains(fmt.Sprint(lookerauth.Config{}), "ClientSecret: [none]") {
		t.Errorf("useless: %v and %v", cfg, lookerauth.Config{})
	}
}

func TestConfigFromEnv(t *testing.T) {
	for name, value := range map[string]string{
		"LOOKERSDK_BASE_URL": "https://looker.example", "LOOKERSDK_CLIENT_ID": testID, "LOOKERSDK_CLIENT_SECRET": testSecret,
		"LOOKERSDK_API_VERSION": "3.1", "LOOKERSDK_VERIFY_SSL": "true", "LOOKERSDK_TIMEOUT": "7",
	} {
		t.Setenv(name, value)
	}
	cfg, err := lookerauth.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.BaseURL != "https://looker.example" || cfg.ClientID != testID || cfg.ClientSecret != testSecret ||
		cfg.APIVersion != "3.1" || cfg.LoginTimeout != 7*time.Second || cfg.Transport != nil {
		t.Errorf("got %v", cfg)
	}
	t.Setenv("LOOKERSDK_VERIFY_SSL", "False")
	cfg, err = lookerauth.ConfigFromEnv()
	if transport, ok := cfg.Transport.(*http.Transport); err != nil || !ok || !transport.TLSClientConfig.InsecureSkipVerify {
		t.Errorf("certificates are verified: %v", err)
	}
}

func TestConfigFromEnvNamesEveryBadVariable(t *testing.T) {
	bad := map[string]string{
		"LOOKERSDK_BASE_URL": "", "LOOKERSDK_CLIENT_ID": "", "LOOKERSDK_CLIENT_SECRET": "",
		"LOOKERSDK_VERIFY_SSL": "perhaps", "LOOKERSDK_TIMEOUT": "2m",
	}
	for name, value := range bad {
		t.Setenv(name, value)
	}
	_, err := lookerauth.ConfigFromEnv()
	for name := range bad {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not in: %v", name, err)
		}
	}
}
