package lookerauth

import (
	"errors"
	"fmt"

	"github.com/lookerauth/lookerauth/internal/queue"
)

// left tells a caller who waited in vain how long the queue was, or what has failed so far.
func (l *lifecycle) left(who Identity, o *outcome, cause error) error {
	if place := o.turn.Place(); place.Waits {
		return &leftError{queued{l.issuer.op(who), who, place}, cause}
	}
	failed := o.failed.Load()
	if failed == nil && !l.issuer.isReady(who) { // it waits for the service account, or is to
		l.logins.mark(ServiceAccount(), func(service *outcome) { failed = service.failed.Load() })
	}
	if failed == nil {
		return cause
	}
	return &leftError{retried{failed}, cause}
}

// leftError is what a caller gets who leaves a login of which more is known than that it goes on.
type leftError struct {
	login fmt.Stringer // what is known; written out only if somebody asks
	cause error        // of the end of the caller's context
}

func (e *leftError) Error() string { return e.login.String() + ": " + e.cause.Error() }

func (e *leftError) Unwrap() error { return e.cause }

// Timeout reports whether the caller's time was up, as a [net.Error] does.
func (e *leftError) Timeout() bool {
	var cause interface{ Timeout() bool }
	return errors.As(e.cause, &cause) && cause.Timeout()
}

// retried is a login that is tried again.
type retried struct{ failed *CallError }

func (r retried) String() string { return r.failed.Error() + " (it is being tried again)" }

// queued is a login that has not had its turn.
type queued struct {
	op    string
	who   Identity
	place queue.Place
}

func (q queued) String() string {
	call := CallError{Op: q.op, Identity: q.who}
	var why string
	switch n := q.place.Ahead; {
	case q.place.Paused:
		why = "logins are paused, as Looker asked for it"
	case n == 1:
		why = "1 login comes before this one: " + raiseLogins
	default:
		why = fmt.Sprintf("up to %d logins come before this one: %s", n, raiseLogins)
	}
	return call.Error() + ": " + why
}

const raiseLogins = "raise MaxConcurrentLogins if Looker can bear more at once"
