package lookerauth

import (
	"context"
	"encoding"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/benbjohnson/clock"
	"golang.org/x/oauth2"
)

// Config says where Looker is, which API key to use and how to cache. BaseURL and the key (ClientID
// and ClientSecret, or APIKey) are required, the key only without UserToken; the zero value of
// everything else is its default. [New] copies it: later changes have no effect.
//
// The functions and interfaces in it are called from several goroutines at once, and never with a
// lock held. Those that get a context must return when it ends. None may close the Cache, which
// waits for them, or log out the identity that it is called for, whose login would be discarded. A
// panic in them during a login is that login's error; a Clock must not panic.
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
	// since Looker 23.18. "3.0" and "3.1" are for installations that are older than that; user ids
	// are whole numbers there.
	APIVersion string

	// ClientID and ClientSecret are the API key. The user it belongs to is the service account; to
	// act as other users it needs the Admin role.
	ClientID     string
	ClientSecret string

	// APIKey, if set, is asked for the API key before each try of the service account's login
	// instead, so that a rotated key is picked up; with a Store also before the first look in
	// there. A key with an empty part, or with white space around one, fails the login.
	APIKey func(ctx context.Context) (APIKey, error)

	// NonAssociative asks login_user for associative=false: Looker then attributes activity to the
	// user acted as, not to the service account. Only Lookers before 26.8 are known to do so, as
	// the specification of API 4.0 has not had the parameter since.
	NonAssociative bool

	// MaxUsers is how many users' tokens are kept at once; 10,000 if 0. Beyond it the least
	// recently used is evicted and logged out, unless others may have the token: it was exported,
	// or comes from UserToken, or there is a Store. It should exceed the number of users that are
	// active within a token's life, or they push each other out: a request whose token is logged
	// out while it is under way may then get a 401.
	MaxUsers int

	// RefreshBefore is how long before a token stops being usable its refresh may begin; 5 minutes
	// if 0, and at most a quarter of the token's life. The exact moment is spread at random over
	// the first fifth of that time.
	RefreshBefore time.Duration

	// LoginTimeout bounds one login as a whole, from its turn in the queue on, with its retries and
	// AfterLogin; 30 seconds if 0. Each try may take a third of it. Until its turn has come, the
	// contexts of those who wait bound it.
	LoginTimeout time.Duration

	// MaxConcurrentLogins is how many calls of logins are in flight at once: login, login_user and
	// its look-up, or UserToken; 16 if 0. As many calls to logout may be besides. It limits how
	// many users can be active: a token's life times MaxConcurrentLogins, divided by how long
	// Looker takes for a login; 115,200 with the defaults if that is half a second.
	MaxConcurrentLogins int

	// Store, if set, shares tokens with other processes, so that a fleet logs each user in once:
	// redisstore has one for Redis and Valkey, filestore one for the processes of one machine. The
	// processes must have the same BaseURL, APIVersion, key, NonAssociative and AfterLogin. Tokens
	// are then logged out by [TokenSource.Logout] and [Cache.LogoutAll] only, as others may use
	// them, or if AfterLogin failed. While the Store fails, a process logs in for itself.
	Store Store

	// StoreKeys are AES-256 keys, of 32 bytes each, from a source of random numbers: the first
	// seals what goes into the Store, and all open what comes out of it. Required with a Store. To
	// replace a key, first add the new one at the end everywhere, then put it first everywhere,
	// then remove the old one.
	StoreKeys [][]byte

	// AfterLogin, if set, runs with each new token before anyone gets it: to select a workspace,
	// say. An error from it fails the login, and the token is logged out, unless it comes from
	// UserToken. It must not ask the Cache for the same identity, nor, for the service account, for
	// any: that would wait for itself. With a Store it runs in the process that logs in.
	AfterLogin func(ctx context.Context, login Login) error

	// UserToken, if set, is asked for users' tokens instead of login_user, which Looker (Google
	// Cloud core) denies for regular users: they may come from OAuth. It returns a token of
	// Looker's with its Expiry or ExpiresIn; it may be the same as before, but not the one that
	// req.Rejected names, nor one that Logout has ended. It is asked once at a time for each
	// Identity, with a Store by one process at a time, and has LoginTimeout; nothing else ends its
	// context but Close, as a refresh token that it has used up must not be lost. Only
	// [TokenSource.Logout] and [Cache.LogoutAll] log such a token out, as that would end the
	// refresh token, too.
	//
	// It has one of MaxConcurrentLogins meanwhile, so it must not wait for a token of the same
	// Cache, not even the service account's, whose login may wait for it.
	//
	// The API key is not required then. Without it, the service account and users by credential are
	// [ErrNoServiceAccount].
	UserToken func(ctx context.Context, req UserTokenRequest) (*oauth2.Token, error)

	// UserAgent is the header of logins, look-ups and logouts, "lookerauth/" and its version if
	// empty. Requests through a [Transport] have their own.
	UserAgent string

	// Transport carries logins, look-ups and logouts, and the requests of every [Transport] that
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

	// Clock is the time tokens live in; the time package's if nil.
	Clock Clock
}

const defaultLoginTimeout = 30 * time.Second

// hasKey reports whether there is anything of an API key in the Config itself.
func (cfg Config) hasKey() bool { return cfg.ClientID != "" || cfg.ClientSecret != "" }

// withDefaults returns cfg with every default filled in.
func (cfg Config) withDefaults() Config {
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.APIVersion == "" {
		cfg.APIVersion = apiVersion
	}
	if cfg.APIKey == nil && cfg.hasKey() {
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
	if cfg.UserAgent == "" {
		cfg.UserAgent = "lookerauth/" + version()
	}
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.New()
	}
	return cfg
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
