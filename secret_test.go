package lookerauth_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth"
)

// secretTexts are texts that users may see.
type secretTexts []string

// add keeps how a value is printed with these verbs, and encoded.
func (s *secretTexts) add(t *testing.T, value any, verbs ...string) {
	t.Helper()
	if value == nil {
		t.Error("no error")
		return
	}
	for _, verb := range verbs {
		*s = append(*s, fmt.Sprintf(verb, value))
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "value", value)
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "value", value)
	*s = append(*s, log.String(), string(must(json.Marshal(value))))
}

// check looks for the secrets.
func (s *secretTexts) check(t *testing.T, secrets ...string) {
	t.Helper()
	for _, text := range *s {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
}

func TestConfigShowsNoSecret(t *testing.T) {
	cfg := testConfig()
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	withPassword := cfg
	withPassword.BaseURL = "https://me:" + testSecret + "@looker.example"
	nested := struct{ Config *lookerauth.Config }{&cfg}
	var texts secretTexts
	for _, value := range []any{
		cfg, &cfg, nested, []lookerauth.Config{cfg}, withPassword,
		cache, cache.ServiceAccount(), cache.User("789"), cache.Transport(nil),
	} {
		texts.add(t, value, "%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d")
	}
	texts.check(t, testID, testSecret, fmt.Sprintf("%x", testSecret), fmt.Sprintf("%X", testSecret))

	// What is no secret is there.
	if text := fmt.Sprint(cfg); !strings.Contains(text, `BaseURL: "https://looker.example"`) {
		t.Errorf("useless: %s", text)
	}
	if text := fmt.Sprint(lookerauth.Config{}); !strings.Contains(text, "ClientSecret: [none]") {
		t.Errorf("useless: %s", text)
	}
}

func TestConfigShowsNoStoreKey(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	var texts secretTexts
	cfg := lookerauth.Config{StoreKeys: [][]byte{[]byte(key)}}
	texts.add(t, cfg, "%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d")
	texts.check(t, key[:16], fmt.Sprintf("%x", key), fmt.Sprintf("%X", key), "[48 49")
}
