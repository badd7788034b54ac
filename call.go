package lookerauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/queue"
)

// budget is how long and how often to try.
type budget struct {
	turn   *queue.Turn                // ends with the time there is
	waited func() bool                // whether somebody waits by now
	failed *atomic.Pointer[CallError] // the last try, which failed; nil unless another one follows
}

// tries is how many calls there may be. If nobody waits, the hold-down paces what follows one.
func (b budget) tries() int {
	if b.waited() {
		return maxTries
	}
	return 1
}

const (
	maxTries     = 3                      // calls for one login that somebody waits for
	tryShare     = 3                      // the part of LoginTimeout that one of them may take
	firstBackoff = 100 * time.Millisecond // before the second try; doubled each time, and jittered
)

// maxReplays is how often what was answered 401 is sent again, with another token.
const maxReplays = 2

// calls makes calls of Looker's, each at its turn and for a limited time.
type calls struct {
	queue      *queue.Queue
	pausing    bool // a 429 pauses the queue
	events     *events
	apiVersion string
	clock      Clock
	timeout    time.Duration // of all tries together
	background *guard.Background
}

// try runs f until it succeeds, fails for good or because of somebody else, or the budget is spent.
func try[T any](ctx context.Context, who Identity, b budget, f func() (T, error)) (T, error) {
	defer b.failed.Store(nil)
	for n := 1; ; n++ {
		got, err := f()
		failed := ownFailure(who, err)
		if failed == nil || !failed.temporary() {
			return got, err
		}
		backoff := firstBackoff << (n - 1)
		backoff += rand.N(backoff)
		if n >= b.tries() {
			return got, err
		}
		b.failed.Store(failed)
		if !b.turn.Sleep(ctx, max(backoff, failed.RetryAfter)) {
			return got, err
		}
	}
}

// makeCall makes one call at its turn, which has a third of LoginTimeout at most: an answer that
// was lost must not use it up. One that comes later is late's.
func makeCall[T any](
	ctx context.Context, c *calls, op string, who Identity, turn *queue.Turn,
	f func(context.Context) (T, error), late func(T, error),
) (answer T, _ error) {
	if err := c.take(ctx, op, who, turn); err != nil {
		return answer, err
	}
	defer turn.GiveUp()
	limit := min(c.timeout/tryShare, turn.Left())
	noAnswer := &looker.Error{NoAnswer: true, Err: &unanswered{limit, c.timeout}}
	answer, err := guard.Bounded(ctx, c.background, c.clock, limit, noAnswer, f, late)
	var failed *looker.Error
	if !errors.As(err, &failed) {
		return answer, err
	}
	meant := meaning(op, who, c.apiVersion, failed)
	if meant.StatusCode == http.StatusTooManyRequests && c.pausing {
		// Before the turn is given up, as no other may follow.
		if d := c.queue.Pause(meant.RetryAfter); d > 0 {
			c.events.paused(ctx, d, wallTime(c.clock))
		}
	}
	return answer, meant
}

// take waits for a turn of a call that is to be made.
func (c *calls) take(ctx context.Context, op string, who Identity, turn *queue.Turn) error {
	if err := turn.Take(ctx); err != nil {
		return noTurn(op, who, c.timeout, err)
	}
	return nil
}

// noTurn is the error of a call that was not made.
func noTurn(op string, who Identity, timeout time.Duration, err error) *CallError {
	failed := &CallError{Op: op, Identity: who, Err: err}
	if err == queue.ErrLate {
		failed.Err = tooLate(timeout)
	}
	if paused := (*queue.PausedError)(nil); errors.As(err, &paused) {
		failed.StatusCode, failed.RetryAfter = http.StatusTooManyRequests, paused.Left
		failed.Err = errPaused
		failed.again = &again{paused.Age, paused.Left}
	}
	return failed
}

// errPaused is an ErrRateLimited of an earlier call: there was none now.
var errPaused = fmt.Errorf("%w", ErrRateLimited)

// meaning says what a failed call under this version of the API means to the caller.
func meaning(op string, who Identity, version string, failed *looker.Error) *CallError {
	e := &CallError{
		Op:         op,
		Identity:   who,
		StatusCode: failed.Status,
		Message:    failed.Message,
		RetryAfter: failed.RetryAfter,
		Err:        failed.Err,
	}
	status := failed.Status
	switch {
	case failed.NoAnswer && permanent(failed.Err) != nil:
		e.Err = fmt.Errorf("%w: %w: %w", errNoAnswer, permanent(failed.Err), failed.Err)
	case failed.NoAnswer:
		const check = "%w: check that the base URL is right and reachable: %w"
		e.Err = fmt.Errorf(check, errNoAnswer, failed.Err)
	case failed.NotLooker && failed.Err != nil:
		e.Err = fmt.Errorf("%w: %w", failed.Err, ErrNotLooker)
	case failed.NotLooker:
		e.Err = ErrNotLooker
	case status == http.StatusTooManyRequests:
		e.Err = ErrRateLimited
	case op == opLogin && (status == http.StatusNotFound || status == http.StatusUnauthorized):
		e.Err = ErrBadAPIKey
	case op == opLoginUser && status == http.StatusForbidden:
		e.Err = ErrForbidden
	case op == opLookUp && status == http.StatusForbidden:
		e.Err = lookUpError{}
	case (op == opLoginUser || op == opLookUp) && status == http.StatusNotFound:
		e.Err = ErrUserNotFound
	}
	if version != apiVersion && op != opLogout && !e.temporary() && !failed.NoAnswer {
		e.Err = &versionError{version, e.Err}
	}
	return e
}

// lookUpError is an ErrForbidden of a look-up.
type lookUpError struct{}

func (lookUpError) Error() string {
	return "the service account may not look users up: give it the Admin role " +
		"(Looker (Google Cloud core) may deny it all the same: " +
		"use User then, with the id that Looker gave the user)"
}

func (lookUpError) Unwrap() error { return ErrForbidden }

// permanent returns why a call without an answer will have none the next time either; nil if it
// may.
func permanent(err error) error {
	var (
		host      *net.DNSError
		otherHost x509.HostnameError
		invalid   x509.CertificateInvalidError
		unknown   x509.UnknownAuthorityError
		untrusted *tls.CertificateVerificationError
	)
	isInvalid := errors.As(err, &invalid)
	switch {
	case errors.As(err, &host) && host.IsNotFound:
		return errNoHost
	case isInvalid && invalid.Reason == x509.Expired:
		return errOutOfDate
	case errors.As(err, &otherHost):
		return errOtherHost
	case isInvalid, errors.As(err, &unknown), errors.As(err, &untrusted):
		return errUntrusted
	}
	return nil
}

// apiVersion is the only version of Looker's API since 23.18.
const apiVersion = "4.0"

// versionError is a refusal that may come from the version of the API.
type versionError struct {
	version string
	err     error // may be nil
}

func (e *versionError) Error() string {
	const gone = "API %s is gone since Looker 23.18: leave APIVersion empty"
	hint := fmt.Sprintf(gone, e.version)
	if e.err == nil {
		return hint
	}
	return e.err.Error() + " (" + hint + ")"
}

func (e *versionError) Unwrap() error { return e.err }

// unanswered is why one try of a call was given up.
type unanswered struct{ limit, timeout time.Duration }

func (e *unanswered) Error() string {
	const format = "not within %v (of LoginTimeout, %v, each try has a third at most): %v"
	return fmt.Sprintf(format, e.limit, e.timeout, context.DeadlineExceeded)
}

func (e *unanswered) Unwrap() error { return context.DeadlineExceeded }
