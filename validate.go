package lookerauth

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/lookerauth/lookerauth/internal/origin"
	"github.com/lookerauth/lookerauth/internal/seal"
)

// validate names every field that New cannot work with.
func (cfg Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("lookerauth: "+format, args...))
	}
	if err := cfg.validateBaseURL(); err != nil {
		bad("BaseURL %w", err)
	}
	if !slices.Contains([]string{"", "3.0", "3.1", "4.0"}, cfg.APIVersion) {
		bad("APIVersion is %q: use 4.0, 3.1 or 3.0", cfg.APIVersion)
	}
	if cfg.APIKey == nil && (cfg.UserToken == nil || cfg.hasKey()) {
		if err := (APIKey{cfg.ClientID, cfg.ClientSecret}).validate(); err != nil {
			bad("%w", err)
		}
	}
	if strings.ContainsFunc(cfg.UserAgent, unicode.IsControl) {
		bad("UserAgent has a control character, such as a line break: leave that out")
	}
	if checkBase(cfg.Transport) != nil {
		bad("Transport puts tokens of its own on requests: use its base instead")
	}
	if cfg.MaxUsers < 0 {
		bad("MaxUsers is %d: use 1 or more, or 0 for the default", cfg.MaxUsers)
	}
	if cfg.RefreshBefore < 0 {
		bad("RefreshBefore is %v: use a positive duration, or 0 for the default", cfg.RefreshBefore)
	}
	if cfg.LoginTimeout < 0 {
		bad("LoginTimeout is %v: use a positive duration, or 0 for the default", cfg.LoginTimeout)
	}
	if cfg.MaxConcurrentLogins < 0 {
		bad("MaxConcurrentLogins is %d: use 1 or more, or 0 for the default",
			cfg.MaxConcurrentLogins)
	}
	if (cfg.Store == nil) != (len(cfg.StoreKeys) == 0) {
		bad("Store and StoreKeys go together: set both, or neither")
	}
	for i, key := range cfg.StoreKeys {
		if len(key) != seal.KeySize {
			bad("StoreKeys[%d] has %d bytes: use 32 random ones", i, len(key))
		}
	}
	return errors.Join(errs...)
}

var errWhiteSpace = errors.New("starts or ends with white space: trim it")

// validateBaseURL never quotes the URL where it could hold a password.
func (cfg Config) validateBaseURL() error {
	if cfg.BaseURL == "" {
		return errors.New("is missing: use Looker's address, such as https://demo.looker.com:19999")
	}
	if strings.TrimSpace(cfg.BaseURL) != cfg.BaseURL {
		return errWhiteSpace
	}
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" ||
		u.Hostname() == "" || u.Opaque != "" {
		return errors.New("is not an address: write it as https://host, with a port if there is one")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("has a bad port: use 1 to 65535, or none for the scheme's own")
		}
	}
	if strings.ContainsFunc(u.Host, func(char rune) bool { return char > unicode.MaxASCII }) {
		return errors.New("has a host with letters outside ASCII: write it as DNS does, as xn--…")
	}
	if u.User != nil {
		return errors.New("has a user name in it: put the API key into ClientID and ClientSecret")
	}
	if u.RawQuery != "" || u.ForceQuery || strings.Contains(cfg.BaseURL, "#") {
		return errors.New("has a query or a fragment: leave it out")
	}
	prefix := strings.TrimRight(u.EscapedPath(), "/")
	if apiSuffix.MatchString(prefix) {
		const suffix = "ends in %s: leave that out, and set APIVersion instead"
		return fmt.Errorf(suffix, apiSuffix.FindString(prefix))
	}
	if prefix != "" && !cleanPrefix.MatchString(prefix) || origin.HasDotSegment(prefix) {
		const path = "has the path %q: use letters, digits, -, _, . and ~ between single slashes"
		return fmt.Errorf(path, prefix)
	}
	if u.Scheme == "http" && !cfg.AllowHTTP && !isLoopback(u.Hostname()) {
		return errors.New("is http://, which would send the API key in the clear: " +
			"use https://, or set AllowHTTP")
	}
	return nil
}

var (
	apiSuffix   = regexp.MustCompile(`(?i)/api(/v?[0-9.]+)?$`)
	cleanPrefix = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
)

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// validate says why this is no API key.
func (k APIKey) validate() error {
	id, secret := validateKeyPart(k.ClientID), validateKeyPart(k.ClientSecret)
	switch {
	case id != nil && secret != nil:
		return fmt.Errorf("ClientID %w; and ClientSecret %w", id, secret)
	case id != nil:
		return fmt.Errorf("ClientID %w", id)
	case secret != nil:
		return fmt.Errorf("ClientSecret %w", secret)
	}
	return nil
}

// validateKeyPart catches what copying a key from a file or a web page does to it.
func validateKeyPart(s string) error {
	if s == "" {
		return errors.New("is missing: " +
			"create an API key in Looker under Admin, Users, Edit, API keys")
	}
	if strings.TrimSpace(s) != s {
		return errWhiteSpace
	}
	return nil
}
