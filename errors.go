package lookerauth

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The errors that callers tell apart with errors.Is. Each says what to do about it.
var (
	// ErrBadAPIKey: login refused the API key. Looker answers 404 to a wrong key, not 401.
	ErrBadAPIKey = errors.New("the API key was refused: " +
		"check the client id and the client secret, that they are not swapped, " +
		"that the key was not rotated, and that its user is not disabled")

	// ErrForbidden: login_user refused, because the service account may not act as this user; or
	// the look-up of a credential was, as it may not see whose that is.
	ErrForbidden = errors.New("the service account may not act as this user: " +
		"give it the Admin role (Looker (Google Cloud core) also wants an API-only " +
		"service account, and an Embed user to act as)")

	// ErrUserNotFound: Looker knows no user with this id, or with this credential. API 3.x also
	// says so of users that the service account may not see.
	ErrUserNotFound = errors.New("no such user: User takes the id that Looker gave the user; " +
		"for another one, such as an external id, use UserByCredential with its type")

	// ErrRateLimited: Looker answered 429, or did so a moment ago and the pause it asked for is
	// longer than [Config.LoginTimeout] allows. [CallError.RetryAfter] says how long to wait.
	ErrRateLimited = errors.New("too many logins: Looker asks for a pause")

	// ErrNotLooker: something other than a Looker API answered, such as a proxy, a login page or
	// Looker's web port.
	ErrNotLooker = errors.New("the answer did not come from a Looker API: check the base URL " +
		"(the API of a self-hosted Looker has a port of its own, usually 19999)")

	// ErrInvalidIdentity: nobody can have this id, or a credential of this type. A gateway between
	// may decode the path of a call, and would make another one of an id with a slash, say. No call
	// is made.
	ErrInvalidIdentity = errors.New("invalid identity")

	// ErrNoServiceAccount: there is no API key, and so no service account. Users' tokens come from
	// [Config.UserToken] then; but looking a credential up takes the service account.
	ErrNoServiceAccount = errors.New("no service account: " +
		"set ClientID and ClientSecret, or APIKey, in the Config")

	// ErrNoIdentity: nobody was named. A request went through [Cache.Transport], and its context
	// names no identity; or the zero [Identity] was used.
	ErrNoIdentity = errors.New("no identity: name a user or the service account, " +
		"in a request's context with WithUser or WithServiceAccount")

	// ErrForeignOrigin: a request was made straight to a place that is not below
	// [Config.BaseURL]: by its URL, by its path as some server or proxy might read it, or by its
	// Host header, as the error around this one says. It was not sent.
	ErrForeignOrigin = errors.New("the request leads away from the base URL, and was not sent")

	// ErrClosed: the Cache was closed.
	ErrClosed = errors.New("the cache is closed: close it only when nothing uses it any more")
)

// errActsAsOther is why an answer is withheld, or a request not sent.
var errActsAsOther = errors.New("lookerauth: the base of this Transport puts a token of its own " +
	"on requests, which would act as somebody else: use the base of that one (the field Base of " +
	"an oauth2.Transport) instead")

// errNoAnswer marks a call that was sent and got no complete answer.
var errNoAnswer = errors.New("no answer")

// permanentError says why there was no answer, and will be none until somebody changes something.
type permanentError string

func (e permanentError) Error() string { return string(e) }

const (
	errNoHost    permanentError = "there is no such host: check the base URL"
	errOutOfDate permanentError = "the server's certificate is out of date, or not valid yet: " +
		"renew it, or set the clock of this machine"
	errOtherHost permanentError = "the server's certificate is another host's: check the base URL"
	errUntrusted permanentError = "the server's certificate is not trusted: " +
		"add who issued it to the certificates that this machine or Config.Transport trusts"
)

// userError is the error of a function in the [Config], which says nothing about Looker.
type userError struct {
	what string // comes before the error
	err  error
}

func (e *userError) Error() string { return e.what + ": " + onOneLine(e.err.Error()) }

func (e *userError) Unwrap() error { return e.err }

// tooLate is why a login was given up.
func tooLate(timeout time.Duration) error {
	const late = "not done within LoginTimeout, %v (is Looker reachable at the base URL?): %w"
	return fmt.Errorf(late, timeout, context.DeadlineExceeded)
}

// invalidIdentity is what using whom nobody can be gets.
func invalidIdentity(who Identity) error {
	kind := "user"
	if who.byCredential() {
		kind = "credential"
	}
	const format = "lookerauth: %s %.256q: %w: %s" // an id is of any length, and comes from anybody
	return fmt.Errorf(format, kind, who.name(), ErrInvalidIdentity, who.rule())
}

// errExport is what exporting the service account's token gets.
var errExport = errors.New("lookerauth: export: the service account's token is for nobody else")

// lifeError is what asking for a token gets that lives for longer than there are any.
func lifeError(least, life time.Duration) error {
	const format = "lookerauth: export: MinLife is %v, but tokens live for %v: " +
		"ask for nine tenths of that at most"
	return fmt.Errorf(format, least, life)
}

// noIdentity is what using nobody gets.
func noIdentity() error { return fmt.Errorf("lookerauth: %w", ErrNoIdentity) }

// closedError is what every call gets once the Cache is closed.
func closedError() error { return fmt.Errorf("lookerauth: %w", ErrClosed) }

// refuseNil panics before anything has changed, and where the caller may recover.
func refuseNil(ctx context.Context) {
	if ctx == nil {
		panic("lookerauth: the context is nil: use context.Background()")
	}
}

// onOneLine puts spaces in the place of line breaks, of which x/oauth2's errors have some.
func onOneLine(s string) string { return strings.Join(strings.FieldsFunc(s, isBreak), " ") }

func isBreak(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// printable quotes s if it has anything in it that could forge or break a line of a log.
func printable(s string) string {
	quoted := strconv.Quote(s)
	if strings.ContainsAny(s, " ") || quoted != `"`+s+`"` {
		return quoted
	}
	return s
}
