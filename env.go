package lookerauth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// ConfigFromEnv reads the variables of the official Looker SDKs:
//
//	LOOKERSDK_BASE_URL       BaseURL, without a slash at its end; required
//	LOOKERSDK_CLIENT_ID      ClientID; required
//	LOOKERSDK_CLIENT_SECRET  ClientSecret; required
//	LOOKERSDK_API_VERSION    APIVersion
//	LOOKERSDK_VERIFY_SSL     false, no, off or 0: Transport accepts any certificate
//	LOOKERSDK_TIMEOUT        LoginTimeout in seconds, if that is less than its default
//
// The SDKs' time-out is that of any request, and often an hour, which no login should take: so it
// only shortens LoginTimeout. One pair of quotes around a value is not a part of it: Docker's
// --env-file leaves them there. The error names every variable that is missing or cannot be
// read. [New] looks at the rest. It makes no call and does not block.
func ConfigFromEnv() (Config, error) {
	cfg := Config{
		BaseURL:      strings.TrimRight(env("BASE_URL"), "/"),
		APIVersion:   env("API_VERSION"),
		ClientID:     env("CLIENT_ID"),
		ClientSecret: env("CLIENT_SECRET"),
	}
	var errs []error
	for _, name := range []string{"BASE_URL", "CLIENT_ID", "CLIENT_SECRET"} {
		if env(name) == "" {
			errs = append(errs, fmt.Errorf("lookerauth: LOOKERSDK_%s is not set", name))
		}
	}
	switch verify := env("VERIFY_SSL"); strings.ToLower(verify) {
	case "", "true", "yes", "on", "1", "t", "y":
	case "false", "no", "off", "0", "f", "n":
		cfg.Transport = withoutVerification()
	default:
		const unclear = "lookerauth: LOOKERSDK_VERIFY_SSL is %q: use true or false"
		errs = append(errs, fmt.Errorf(unclear, verify))
	}
	if timeout := env("TIMEOUT"); timeout != "" {
		seconds, err := strconv.ParseUint(timeout, 10, 64)
		if err != nil || seconds == 0 {
			const whole = "lookerauth: LOOKERSDK_TIMEOUT is %q: " +
				"use a whole number of seconds, 1 or more"
			errs = append(errs, fmt.Errorf(whole, timeout))
		}
		most := uint64(defaultLoginTimeout / time.Second)
		cfg.LoginTimeout = time.Duration(min(seconds, most)) * time.Second
	}
	return cfg, errors.Join(errs...)
}

// env is a variable of the SDKs, without the quotes that it may have around it.
func env(name string) string {
	value := os.Getenv("LOOKERSDK_" + name)
	for _, quote := range []string{`"`, `'`} {
		if inner, ok := strings.CutPrefix(value, quote); ok && strings.HasSuffix(inner, quote) {
			return strings.TrimSuffix(inner, quote)
		}
	}
	return value
}

// withoutVerification is the default transport, with its dialer, time-outs and limits, but that it
// accepts any certificate.
func withoutVerification() http.RoundTripper {
	transport := &http.Transport{ // what net/http has, where that was replaced
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		transport = standard.Clone()
	}
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{}
	}
	transport.TLSClientConfig.InsecureSkipVerify = true
	return transport
}
