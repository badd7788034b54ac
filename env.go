package lookerauth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// ConfigFromEnv reads the variables of the official Looker SDKs:
//
//	LOOKERSDK_BASE_URL       BaseURL; required
//	LOOKERSDK_CLIENT_ID      ClientID; required
//	LOOKERSDK_CLIENT_SECRET  ClientSecret; required
//	LOOKERSDK_API_VERSION    APIVersion
//	LOOKERSDK_VERIFY_SSL     false, no, off or 0: Transport accepts any certificate
//	LOOKERSDK_TIMEOUT        LoginTimeout, in seconds
//
// The error names every variable that is missing or wrong. It makes no call and does not block.
func ConfigFromEnv() (Config, error) {
	cfg := Config{
		BaseURL:      os.Getenv("LOOKERSDK_BASE_URL"),
		APIVersion:   os.Getenv("LOOKERSDK_API_VERSION"),
		ClientID:     os.Getenv("LOOKERSDK_CLIENT_ID"),
		ClientSecret: os.Getenv("LOOKERSDK_CLIENT_SECRET"),
	}
	required := []string{"LOOKERSDK_BASE_URL", "LOOKERSDK_CLIENT_ID", "LOOKERSDK_CLIENT_SECRET"}
	var errs []error
	for _, name := range required {
		if os.Getenv(name) == "" {
			errs = append(errs, fmt.Errorf("lookerauth: %s is not set", name))
		}
	}
	switch verify := os.Getenv("LOOKERSDK_VERIFY_SSL"); strings.ToLower(verify) {
	case "", "true", "yes", "on", "1", "t", "y":
	case "false", "no", "off", "0", "f", "n":
		cfg.Transport = &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		}
	default:
		const unclear = "lookerauth: LOOKERSDK_VERIFY_SSL is %q: use true or false"
		errs = append(errs, fmt.Errorf(unclear, verify))
	}
	if timeout := os.Getenv("LOOKERSDK_TIMEOUT"); timeout != "" {
		seconds, err := strconv.ParseUint(timeout, 10, 31)
		if err != nil || seconds == 0 {
			const whole = "lookerauth: LOOKERSDK_TIMEOUT is %q: " +
				"use a whole number of seconds, 1 or more"
			errs = append(errs, fmt.Errorf(whole, timeout))
		}
		cfg.LoginTimeout = time.Duration(seconds) * time.Second
	}
	return cfg, errors.Join(errs...)
}
