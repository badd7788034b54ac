package lookerauth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
)

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
