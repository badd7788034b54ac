package lookerauth

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth/internal/origin"
	"github.com/lookerauth/lookerauth/internal/seal"
)

// Config says where Looker is, which API key to use and how to cache. BaseURL and the key (ClientID
// and ClientSecret, or APIKey) are required; the zero value of everything else is its default.
// [New] copies it: later changes have no effect.
//
// The functions and interfaces in it are called from several goroutines at once, and never with a
// lock held. Those that get a context must return when it ends. A panic in them during a login is
// that login's error; a Clock must not panic.
//
// Printed with a verb of package fmt, logged with log/slog, or encoded as JSON or XML, a Config
// shows no secret, and encoding/gob refuses it. It does with %p and %w, which package fmt answers
// by itself, and in an unexported field of another struct, where that cannot ask it.
type Config struct {
	// BaseURL is Looker's address, scheme://host[:port][/prefix], without /api/4.0, such as
	// https://demo.looker.com:19999. A prefix is for a Looker behind a gateway. Tokens are sent to
	// this origin and below this prefix only.
	BaseURL string

	// APIVersion is the version of the calls that log in: "4.0" if empty, which is the only one
	// since Looker 23.18. "3.0" and "3.1" are for older installations. Tokens are good for every
	// version.
	APIVersion string

	// ClientID and ClientSecret are the API key. The user it belongs to is the service account; to
	// act as other users it needs the Admin role.
	ClientID     string
	ClientSecret string

	// APIKey, if set, is asked for the API key before each login instead, so that a rotated key is
	// picked up; with a Store also before the first look in there.
	APIKey func(ctx context.Context) (APIKey, error)

	// NonAssociative asks login_user for associative=false: Looker then attributes activity to
	// the user acted as, not to the service account. Looker dropped the parameter from later
	// releases of API 4.0.
	NonAssociative bool

	// MaxUsers is how many users' tokens are kept at once; 10,000 if 0. Beyond it the least
	// recently used is evicted and logged out. It should exceed the number of users that are active
	// within a token's life, or they push each other out: a request whose token is logged out
	// while it is under way may then get a 401.
	MaxUsers int

	// RefreshBefore is how long before a token stops being usable its refresh may begin; 5 minutes
	// if 0, and at most a quarter of the token's life. The exact moment is spread at random over
	// the first fifth of that time.
	RefreshBefore time.Duration

	// LoginTimeout bounds one login as a whole, from its turn in the queue on, with its retries and
	// AfterLogin; 30 seconds if 0. Each try may take a third of it. Until its turn has come, the
	// contexts of those who wait bound it.
	LoginTimeout time.Duration

	// MaxConcurrentLogins is how many calls to login and login_user are in flight at once; 16 if
	// 0. As many calls to logout may be besides. It limits how many users can be active: a token's
	// life times MaxConcurrentLogins, divided by how long Looker takes for a login; 115,200 with
	// the defaults if that is half a second.
	MaxConcurrentLogins int

	// Store, if set, shares tokens with other processes, so that a fleet logs each user in once:
	// package redisstore has one for Redis and Valkey. The processes must have the same BaseURL,
	// APIVersion, key, NonAssociative and AfterLogin. Tokens are then logged out by
	// [TokenSource.Logout] only, as others may use them. While it fails, a process logs in for
	// itself.
	Store Store

	// StoreKeys are AES-256 keys, of 32 bytes each, from a source of random numbers: the first
	// seals what goes into the Store, and all open what comes out of it. Required with a Store. To
	// replace a key, first add the new one at the end everywhere, then put it first everywhere,
	// then remove the old one.
	StoreKeys [][]byte

	// AfterLogin, if set, runs with each new token before anyone gets it: to select a workspace,
	// say. An error from it fails the login, and the token is logged out. It must not ask the
	// Cache for the same identity, nor, for the service account, for any: that would wait for
	// itself. With a Store it runs in the process that logs in.
	AfterLogin func(ctx context.Context, login Login) error

	// Transport carries login, login_user and logout, and the requests of every [Transport] that
	// was given no base; [http.DefaultTransport] if nil. It must not follow redirects, as an
	// [http.Client] does that is made into a RoundTripper: the API key would go along. Nor must it
	// put a token of its own on requests, as an [oauth2.Transport] does.
	Transport http.RoundTripper

	// AllowHTTP permits http:// to hosts other than loopback: the key and all tokens then cross
	// the network in the clear.
	AllowHTTP bool

	// Logger gets an event for what happens to tokens, as listed in the package documentation;
	// nothing is logged if nil. It is called in the goroutine of whoever caused the event, with
	// no lock held, and once callers have what they waited for. It may use the Cache, but must not
	// close it, as Close waits for what is being logged. What it panics with is lost.
	Logger *slog.Logger

	// Clock is the time tokens live in; clock.New() of benbjohnson/clock, which is the time
	// package's, if nil.
	Clock Clock
}

const defaultLoginTimeout = 30 * time.Second

// withDefaults returns cfg with every default filled in.
func (cfg Config) withDefaults() Config {
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.APIVersion == "" {
		cfg.APIVersion = apiVersion
	}
	if cfg.APIKey == nil {
		key := APIKey{cfg.ClientID, cfg.ClientSecret}
		cfg.APIKey = func(context.Context) (APIKey, error) { return key, nil }
	}
	if cfg.MaxUsers == 0 {
		cfg.MaxUsers = 10_000
	}
	if cfg.RefreshBefore == 0 {
		cfg.RefreshBefore = 5 * time.Minute
	}
	if cfg.LoginTimeout == 0 {
		cfg.LoginTimeout = defaultLoginTimeout
	}
	if cfg.MaxConcurrentLogins == 0 {
		cfg.MaxConcurrentLogins = 16
	}
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.New()
	}
	return cfg
}

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
	if cfg.APIKey == nil {
		if err := validateKeyPart(cfg.ClientID); err != nil {
			bad("ClientID %w", err)
		}
		if err := validateKeyPart(cfg.ClientSecret); err != nil {
			bad("ClientSecret %w", err)
		}
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

// validateBaseURL never quotes the URL where it could hold a password.
func (cfg Config) validateBaseURL() error {
	if cfg.BaseURL == "" {
		return errors.New("is missing: use Looker's address, such as https://demo.looker.com:19999")
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

// validateKeyPart catches what copying a key from a file or a web page does to it.
func validateKeyPart(s string) error {
	if s == "" {
		return errors.New("is missing: " +
			"create an API key in Looker under Admin, Users, Edit, API keys")
	}
	if strings.TrimSpace(s) != s {
		return errors.New("starts or ends with white space: trim it")
	}
	return nil
}

var (
	_ fmt.Formatter          = Config{}
	_ encoding.TextMarshaler = Config{}
)

// Format writes the Config without its secrets, whatever the verb.
func (cfg Config) Format(f fmt.State, _ rune) { printWithout(f, cfg) }

// MarshalText returns the Config without its secrets. JSON encoders and log/slog use it, too. The
// error is always nil.
func (cfg Config) MarshalText() ([]byte, error) {
	base := cfg.BaseURL
	if u, err := url.Parse(base); err != nil || u.User != nil || u.RawQuery != "" {
		base = "[not shown]"
	}
	const format = "lookerauth.Config{BaseURL: %q, APIVersion: %q, ClientID: %s, " +
		"ClientSecret: %s, MaxUsers: %d, RefreshBefore: %v, LoginTimeout: %v, " +
		"MaxConcurrentLogins: %d}"
	return fmt.Appendf(nil, format, base, cfg.APIVersion,
		mask(cfg.ClientID), mask(cfg.ClientSecret), cfg.MaxUsers,
		cfg.RefreshBefore, cfg.LoginTimeout, cfg.MaxConcurrentLogins), nil
}

// MarshalBinary refuses to encode the Config, which encoding/gob would do with its secrets.
func (cfg Config) MarshalBinary() ([]byte, error) { return refuseBinary() }
