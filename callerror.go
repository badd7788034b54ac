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

// CallError says which call of ours failed, for whom, and what came back. It holds no key and no
// token, and may be logged. Everyone who waited for the same login gets the same *CallError: treat
// it as read-only. Whoever is refused later because of it, without a call, gets one with the same
// fields, whose text says how old it is and when the next try comes.
type CallError struct {
	// Op is Looker's name of the call: "login", "login_user", "user_for_credential" or "logout"; or
	// "user_token", of [Config.UserToken].
	Op string

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
	opLookUp    = "user_for_credential"
	opUserToken = "user_token"
	opLogout    = "logout"
)

// Error gives the whole story on one line.
func (e *CallError) Error() string {
	var b strings.Builder
	b.WriteString("lookerauth: " + e.Op)
	if name := e.Identity.name(); name != "" {
		b.WriteString(" " + printable(name))
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

const (
	notFoundHoldDown = 5 * time.Second // of a user who was not found, but may just be created
	pausedHoldDown   = time.Second     // of a refresh that has met a pause
)

// holdDown is for how long the identity is held down. If fixed is 0, that doubles with each
// failure, as the same call may succeed without anybody changing something. It is no less than
// least: what a server asks for that has no time now.
func (e *CallError) holdDown() (fixed, least time.Duration) {
	if e.isUsers() {
		return 0, 0
	}
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

// isUsers reports whether a function in the [Config] failed, whatever its error wraps.
func (e *CallError) isUsers() bool {
	_, ok := e.Err.(*userError)
	return ok
}

// temporary reports whether the same call may well succeed in a moment: nothing answered, or
// Looker is overloaded.
func (e *CallError) temporary() bool {
	if e.isUsers() {
		return false
	}
	return e.StatusCode >= 500 || e.StatusCode == http.StatusTooManyRequests ||
		errors.Is(e.Err, errNoAnswer) && !errors.As(e.Err, new(permanentError))
}

// isRejection reports whether a call of who failed because Looker rejected the token that it came
// with.
func isRejection(who Identity, err error) bool {
	failed := ownFailure(who, err)
	return failed != nil && failed.StatusCode == http.StatusUnauthorized
}

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
