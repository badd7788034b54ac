package lookerauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lookerauth/lookerauth/internal/queue"
)

// The errors that callers tell apart with errors.Is. Each says what to do about it.
var (
	// ErrBadAPIKey: login refused the API key. Looker answers 404 to a wrong key, not 401.
	ErrBadAPIKey = errors.New("the API key was refused: " +
		"check the client id and the client secret, that they are not swapped, " +
		"that the key was not rotated, and that its user is not disabled")

	// ErrForbidden: login_user refused, because the service account may not act as this user.
	ErrForbidden = errors.New("the service account may not act as this user: " +
		"give it the Admin role (Looker (Google Cloud core) also wants an API-only " +
		"service account, and an Embed user to act as)")

	// ErrUserNotFound: login_user knows no such user. API 3.x also says so of users that the
	// service account may not see.
	ErrUserNotFound = errors.New("no such user: " +
		"use the id that Looker gave the user, not an email address or an external id")

	// ErrRateLimited: Looker answered 429, or did so a moment ago and the pause it asked for is
	// longer than [Config.LoginTimeout] allows. [CallError.RetryAfter] says how long to wait.
	ErrRateLimited = errors.New("too many logins: Looker asks for a pause")

	// ErrNotLooker: something other than a Looker API answered, such as a proxy, a login page or
	// Looker's web port.
	ErrNotLooker = errors.New("the answer did not come from a Looker API: check the base URL " +
		"(the API of a self-hosted Looker has a port of its own, usually 19999)")

	// ErrInvalidIdentity: nobody can have this user id. A gateway between may decode the path of a
	// call, and would make another one of an id with a slash, say. No call is made.
	ErrInvalidIdentity = errors.New("invalid user id: it must have 1 to 255 bytes, all of them " +
		"ASCII letters, digits, -, _, ., :, @ or spaces, no space at an end, " +
		`and not be "." or ".."`)

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

// CallError says which call of ours to Looker failed, for whom, and what came back. It holds no key
// and no token, and may be logged. Everyone who waited for the same login gets the same *CallError:
// treat it as read-only. Whoever is refused later because of it, without a call, gets one with the
// same fields, whose text says how old it is and when the next try comes.
type CallError struct {
	Op         string        // "login", "login_user" or "logout"
	Identity   Identity      // whose token it was about
	StatusCode int           // of the answer; 0 if none came; 429 during a pause, too
	Message    string        // Looker's own, shortened and scrubbed of secrets; "" if none
	RetryAfter time.Duration // from a 429 or a 5xx; 0 if Looker did not say
	Err        error         // the cause, which errors.Is and errors.As see; may be nil

	again *again // what came of an earlier call; nil if it is this one's
}

// again says of an answer to an earlier call how old it is, and when the next call may be made.
type again struct{ age, left time.Duration }

// The values of CallError.Op.
const (
	opLogin     = "login"
	opLoginUser = "login_user"
	opLogout    = "logout"
)

// loginOp is the call that logs this identity in.
func loginOp(who Identity) string {
	if who.isUser() {
		return opLoginUser
	}
	return opLogin
}

// Error gives the whole story on one line.
func (e *CallError) Error() string {
	var b strings.Builder
	b.WriteString("lookerauth: " + e.Op)
	if e.Identity.isUser() {
		b.WriteString(" " + printable(e.Identity.userID()))
	}
	if e.StatusCode != 0 {
		fmt.Fprintf(&b, ": looker answered %d", e.StatusCode)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, " (%s)", printable(e.Message))
	}
	if e.RetryAfter > 0 && e.again == nil {
		fmt.Fprintf(&b, ", retry after %v", e.RetryAfter)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.again != nil {
		came := "answered"
		if e.StatusCode == 0 {
			came = "failed"
		}
		const format = " (%s %s ago; next try in %s)"
		fmt.Fprintf(&b, format, came, seconds(e.again.age), seconds(e.again.left+tenth-1))
	}
	return b.String()
}

const tenth = time.Second / 10

// seconds writes a duration with one digit behind the point, or none if that is 0. It cuts off what
// is less.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Truncate(tenth).Seconds(), 'f', -1, 64) + " s"
}

// refusedAgain is the error of an earlier call, so long ago, for whoever is refused because of it.
func refusedAgain(err error, age, left time.Duration) error {
	failed, ok := err.(*CallError)
	if !ok {
		return err
	}
	refused := *failed
	if refused.again != nil { // it was an old one then
		age += refused.again.age
	}
	if refused.StatusCode == http.StatusTooManyRequests { // everybody is
		left = max(left, refused.RetryAfter-age)
	}
	refused.again = &again{age, left}
	return &refused
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// Timeout reports whether the call failed because it took too long, as a [net.Error] does.
func (e *CallError) Timeout() bool {
	var cause interface{ Timeout() bool }
	return errors.As(e.Err, &cause) && cause.Timeout()
}

// Is makes every time-out a [context.DeadlineExceeded], whoever's it is: LoginTimeout's or a
// transport's.
func (e *CallError) Is(target error) bool {
	return target == context.DeadlineExceeded && e.Timeout()
}

// notFoundHoldDown is how long a user is held down who was not found, but may just be created.
const notFoundHoldDown = 5 * time.Second

// holdDown is for how long the identity is held down. If fixed is 0, that doubles with each
// failure, as the same call may succeed without anybody changing something. It is no less than
// least: what a server asks for that has no time now.
func (e *CallError) holdDown() (fixed, least time.Duration) {
	if e.StatusCode >= 500 {
		least = min(e.RetryAfter, queue.MaxPause)
	}
	switch {
	case errors.Is(e.Err, ErrUserNotFound):
		fixed = notFoundHoldDown
	case e.StatusCode == http.StatusBadRequest, e.StatusCode == http.StatusForbidden,
		errors.Is(e.Err, ErrBadAPIKey), errors.Is(e.Err, ErrNotLooker):
		fixed = queue.MaxHoldDown
	}
	return fixed, least
}

// temporary reports whether the same call may well succeed in a moment: nothing answered, or
// Looker is overloaded.
func (e *CallError) temporary() bool {
	_, isPermanent := errors.AsType[permanentError](e.Err)
	return e.StatusCode >= 500 || e.StatusCode == http.StatusTooManyRequests ||
		errors.Is(e.Err, errNoAnswer) && !isPermanent
}

// isRejection reports whether a call of who failed because Looker rejected the token that it came
// with.
func isRejection(who Identity, err error) bool {
	failed := ownFailure(who, err)
	return failed != nil && failed.StatusCode == http.StatusUnauthorized
}

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

// asCallError returns err as it is if it is a *CallError, and wrapped in one if it comes from
// code of the user's that broke.
func asCallError(err error, op string, who Identity) error {
	var failed *CallError
	if errors.As(err, &failed) {
		return err
	}
	return &CallError{Op: op, Identity: who, Err: err}
}

// ownFailure is what went wrong with a login of who itself. It is nil if err is the service
// account's, which is counted, logged and held down there.
func ownFailure(who Identity, err error) *CallError {
	var failed *CallError
	if errors.As(err, &failed) && failed.Identity == who {
		return failed
	}
	return nil
}

// serviceError is what a user's login fails with if the service account has no token. If the wait
// for it was cut short, it says why, which the context's own error does not.
func serviceError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &CallError{Op: opLogin, Identity: ServiceAccount(), Err: context.Cause(ctx)}
	}
	return err
}

// noKey is the error of a login for which there was no API key.
func noKey(err error) *CallError {
	err = &userError{"no API key", err}
	return &CallError{Op: opLogin, Identity: ServiceAccount(), Err: err}
}

// userError is the error of a function in the [Config], which says nothing about Looker.
type userError struct {
	what string // comes before the error
	err  error
}

func (e *userError) Error() string { return e.what + ": " + e.err.Error() }

func (e *userError) Unwrap() error { return e.err }

// tooLate is why a login was given up.
func tooLate(timeout time.Duration) error {
	const late = "not done within LoginTimeout, %v (is Looker reachable at the base URL?): %w"
	return fmt.Errorf(late, timeout, context.DeadlineExceeded)
}

// noIdentity is what using nobody gets.
func noIdentity() error { return fmt.Errorf("lookerauth: %w", ErrNoIdentity) }

// closedError is what every call gets once the Cache is closed.
func closedError() error { return fmt.Errorf("lookerauth: %w", ErrClosed) }

// printable quotes s if it has anything in it that could forge or break a line of a log.
func printable(s string) string {
	quoted := strconv.Quote(s)
	if strings.ContainsAny(s, " ") || quoted != `"`+s+`"` {
		return quoted
	}
	return s
}
