package lookerauth_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
)

func TestConfigFromEnv(t *testing.T) {
	for name, value := range map[string]string{
		"LOOKERSDK_BASE_URL":      "https://looker.example",
		"LOOKERSDK_CLIENT_ID":     testID,
		"LOOKERSDK_CLIENT_SECRET": testSecret,
		"LOOKERSDK_API_VERSION":   "3.1",
		"LOOKERSDK_VERIFY_SSL":    "true",
		"LOOKERSDK_TIMEOUT":       "7",
	} {
		t.Setenv(name, value)
	}
	cfg, err := lookerauth.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	want := testConfig()
	if cfg.BaseURL != want.BaseURL || cfg.ClientID != testID || cfg.ClientSecret != testSecret ||
		cfg.APIVersion != "3.1" || cfg.LoginTimeout != 7*time.Second || cfg.Transport != nil {
		t.Errorf("got %v", cfg)
	}
	t.Setenv("LOOKERSDK_VERIFY_SSL", "False")
	cfg, err = lookerauth.ConfigFromEnv()
	transport, ok := cfg.Transport.(*http.Transport)
	if err != nil || !ok || !transport.TLSClientConfig.InsecureSkipVerify {
		t.Errorf("certificates are verified: %v", err)
	}
}

func TestConfigFromEnvNamesEveryBadVariable(t *testing.T) {
	bad := map[string]string{
		"LOOKERSDK_BASE_URL":      "",
		"LOOKERSDK_CLIENT_ID":     "",
		"LOOKERSDK_CLIENT_SECRET": "",
		"LOOKERSDK_VERIFY_SSL":    "perhaps",
		"LOOKERSDK_TIMEOUT":       "2m",
	}
	for name, value := range bad {
		t.Setenv(name, value)
	}
	_, err := lookerauth.ConfigFromEnv()
	checkErrorSays(t, err, slices.Collect(maps.Keys(bad))...)
}

func TestQuotesAroundAVariableAreNoPartOfIt(t *testing.T) {
	for value, want := range map[string]string{
		`"https://looker.example"`:  "https://looker.example",
		`'https://looker.example'`:  "https://looker.example",
		`"https://looker.example`:   `"https://looker.example`,
		`""https://a""`:             `"https://a"`, // one pair
		`"`:                         `"`,
		`"https://looker.example/"`: "https://looker.example", // nor is a slash at the end
	} {
		t.Setenv("LOOKERSDK_BASE_URL", value)
		cfg, _ := lookerauth.ConfigFromEnv()
		if cfg.BaseURL != want {
			t.Errorf("%s became %s, want %s", value, cfg.BaseURL, want)
		}
	}
}

func TestTimeoutOfTheSDKsOnlyShortensLoginTimeout(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "30": 30 * time.Second, "3600": 30 * time.Second,
		"18446744073709551615": 30 * time.Second,
	} {
		t.Setenv("LOOKERSDK_TIMEOUT", value)
		cfg, _ := lookerauth.ConfigFromEnv()
		if cfg.LoginTimeout != want {
			t.Errorf("%s s became %v, want %v", value, cfg.LoginTimeout, want)
		}
	}
}

func TestTimeoutThatIsNoneIsAnError(t *testing.T) {
	t.Setenv("LOOKERSDK_BASE_URL", "https://looker.example")
	t.Setenv("LOOKERSDK_CLIENT_ID", testID)
	t.Setenv("LOOKERSDK_CLIENT_SECRET", testSecret)
	for value, works := range map[string]bool{
		"1": true, "3600": true, "0": false, "-1": false, "1.5": false, "1s": false,
	} {
		t.Setenv("LOOKERSDK_TIMEOUT", value)
		if _, err := lookerauth.ConfigFromEnv(); (err == nil) != works {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestTransportThatVerifiesNothingIsTheDefaultOneOtherwise(t *testing.T) {
	t.Setenv("LOOKERSDK_VERIFY_SSL", "false")
	want := http.DefaultTransport.(*http.Transport)
	check := func() {
		t.Helper()
		cfg, _ := lookerauth.ConfigFromEnv()
		got := cfg.Transport.(*http.Transport)
		if !got.TLSClientConfig.InsecureSkipVerify ||
			got.DialContext == nil && want.DialContext != nil || // there is none on js
			got.TLSHandshakeTimeout != want.TLSHandshakeTimeout ||
			got.IdleConnTimeout != want.IdleConnTimeout || got.MaxIdleConns != want.MaxIdleConns {
			t.Errorf("%+v", got)
		}
	}
	check()
	if want.TLSClientConfig != nil && want.TLSClientConfig.InsecureSkipVerify {
		t.Error("the default transport was changed")
	}
	// What traces requests may have replaced it.
	defer func() { http.DefaultTransport = want }()
	http.DefaultTransport = roundTripper(want.RoundTrip)
	check()
}
