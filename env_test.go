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
