package lookerauth

import (
	"context"
	"log/slog"
	"time"

	"github.com/lookerauth/lookerauth/internal/digest"
)

// events counts what happens, and logs it: one method for each. What may happen to all users at
// once is logged when it happens first, then now and then, with the number. It is safe for
// concurrent use. A time that it gets is the wall clock's.
type events struct {
	logger
	counts
	causes causes

	// Of which nobody has been told yet.
	rejected       map[rejecter]*digest.Digest[Identity]
	evictedUsers   *digest.Digest[Identity]
	unendedTokens  *digest.Digest[*CallError]
	pauses         *digest.Digest[time.Duration]
	unopenedValues *digest.Digest[error]
	tokensAhead    *digest.Digest[time.Duration]
}

// rejecter says how a token was rejected: it is the attribute "by" of an event.
type rejecter string

const (
	byRequest    rejecter = "request"    // through a Transport, which Looker answered 401
	byLogin      rejecter = "login"      // of a user, with the service account's token
	byInvalidate rejecter = "invalidate" // TokenSource.Invalidate
)

// storePace is how long after a log line about what is in the Store the next one of its kind comes.
const storePace = time.Hour

func newEvents(logs *slog.Logger) *events {
	return &events{
		logger: logger{logs},
		rejected: map[rejecter]*digest.Digest[Identity]{
			byRequest:    digest.New[Identity](linePace),
			byLogin:      digest.New[Identity](linePace),
			byInvalidate: digest.New[Identity](linePace),
		},
		evictedUsers:   digest.New[Identity](linePace),
		unendedTokens:  digest.New[*CallError](linePace),
		pauses:         digest.New[time.Duration](linePace),
		unopenedValues: digest.New[error](storePace),
		tokensAhead:    digest.New[time.Duration](storePace),
	}
}

func whose(who Identity) slog.Attr { return slog.Any("identity", who) }
func because(err error) slog.Attr  { return slog.Any("error", err) }

// granted is a login. If nobody waited for it, it was in the background.
func (e *events) granted(
	ctx context.Context, who Identity, waited bool, life, took time.Duration, now time.Time,
) {
	counts, event := e.logins(who, took), "logged in"
	if waited {
		counts.granted.Add(1)
	} else {
		counts.refreshed.Add(1)
		event = "token refreshed"
	}
	e.log(ctx, slog.LevelDebug, event, whose(who), slog.Duration("life", life))
	e.succeeded(ctx, who, now)
}

// takenFromStore is a login of another process, which Looker has granted as it would this one's.
func (e *events) takenFromStore(ctx context.Context, who Identity, now time.Time) {
	e.storeHits.Add(1)
	e.log(ctx, slog.LevelDebug, "token taken from the store", whose(who))
	e.succeeded(ctx, who, now)
}

func (e *events) succeeded(ctx context.Context, who Identity, now time.Time) {
	e.causes.succeed(who, now)
	e.end(ctx, now)
}

// end tells what is over.
func (e *events) end(ctx context.Context, now time.Time) {
	for _, is := range e.causes.end(now) {
		_, n := is.lines.Rest()
		e.log(ctx, slog.LevelInfo, "logins work again",
			slog.String("op", is.op), slog.String("reason", is.reason.String()),
			slog.Duration("lasted", max(is.last.Sub(is.since), 0)), slog.Int("count", n))
	}
}

// loginFailed is a login that may not be tried again before holdDown has passed. failed is what
// went wrong with it, and err what callers get.
func (e *events) loginFailed(
	ctx context.Context, failed *CallError, err error, waited bool, holdDown, took time.Duration,
	now time.Time,
) {
	counts := e.logins(failed.Identity, took)
	failures := &counts.refreshFailed
	if waited {
		failures = &counts.failed
	}
	failures[reasonOf(failed)].Add(1)
	e.end(ctx, now)
	e.logFailure(ctx, e.causes.meet(failure{failed, err, waited, holdDown}, now))
}

// loginPaused is a login that was not begun because of a pause, which is everybody's. It is met as
// often as somebody asks, and counted as no login. A refresh is only put off.
func (e *events) loginPaused(
	ctx context.Context, failed *CallError, err error, waited bool, now time.Time,
) {
	e.end(ctx, now)
	if !waited {
		return
	}
	line := e.causes.meet(failure{failed, err, waited, failed.RetryAfter}, now)
	if line.n > 0 {
		e.logFailure(ctx, line)
	}
}

func (e *events) logFailure(ctx context.Context, l line) {
	level := slog.LevelWarn
	if l.serious {
		level = slog.LevelError
	}
	e.tell(ctx, level, "login failed", l.n,
		append(about(l.failed, l.err), slog.Duration("hold_down", l.holdDown))...)
}

// about says of which call an event tells, and how it failed.
func about(failed *CallError, err error) []slog.Attr {
	return []slog.Attr{
		whose(failed.Identity), slog.String("op", failed.Op),
		slog.Int("status", failed.StatusCode),
		slog.String("reason", reasonOf(failed).String()), because(err),
	}
}

// paused is a pause of all logins, of this length.
func (e *events) paused(ctx context.Context, d time.Duration, now time.Time) {
	if n := e.pauses.Add(d, now); n > 0 {
		e.logPaused(ctx, d, n)
	}
}

func (e *events) logPaused(ctx context.Context, d time.Duration, n int) {
	e.tell(ctx, slog.LevelWarn, "logins paused", n, slog.Duration("pause", d))
}

// joined is a caller who has waited for a login that another one had started.
func (e *events) joined() { e.joins.Add(1) }

func (e *events) invalidated(ctx context.Context, who Identity, by rejecter, now time.Time) {
	e.rejections.Add(1)
	e.logInvalidated(ctx, who, by, e.rejected[by].Add(who, now))
}

func (e *events) logInvalidated(ctx context.Context, who Identity, by rejecter, n int) {
	attrs := []slog.Attr{whose(who), slog.String("by", string(by))}
	e.tell(ctx, slog.LevelInfo, "token rejected", n, attrs...)
}

func (e *events) replayed(ctx context.Context, who Identity) {
	e.replays.Add(1)
	e.log(ctx, slog.LevelDebug, "request replayed", whose(who))
}

// evicted is a user who was pushed out. usable says whether the token could still be used.
func (e *events) evicted(ctx context.Context, who Identity, usable bool, now time.Time) {
	e.evictions.Add(1)
	if usable {
		e.liveEvictions.Add(1)
	}
	e.logEvicted(ctx, who, e.evictedUsers.Add(who, now))
}

func (e *events) logEvicted(ctx context.Context, who Identity, n int) {
	e.tell(ctx, slog.LevelDebug, "user evicted", n, whose(who))
}

func (e *events) discarded(ctx context.Context, who Identity) {
	e.log(ctx, slog.LevelDebug, "token discarded", whose(who))
}

func (e *events) loggedOut(ctx context.Context, who Identity) {
	e.logouts.Add(1)
	e.log(ctx, slog.LevelDebug, "logged out", whose(who))
}

func (e *events) logoutFailed(ctx context.Context, failed *CallError, now time.Time) {
	e.failedLogouts.Add(1)
	e.logLogoutFailed(ctx, failed, e.unendedTokens.Add(failed, now))
}

func (e *events) logLogoutFailed(ctx context.Context, failed *CallError, n int) {
	e.tell(ctx, slog.LevelWarn, "logout failed", n, about(failed, failed)...)
}

// storeFailed is an operation of the Store that may take as long as limit; the Store is left alone
// for a while now. It is logged if it is the first one of an outage.
func (e *events) storeFailed(
	ctx context.Context, op string, limit, leftAlone time.Duration, err error, first bool,
) {
	e.storeErrors.Add(1)
	if first {
		e.log(ctx, slog.LevelWarn, "store failed",
			slog.String("op", op), slog.Duration("limit", limit), because(err),
			slog.Duration("left_alone", leftAlone))
	}
}

func (e *events) storeWorks(ctx context.Context) {
	e.log(ctx, slog.LevelInfo, "store works again")
}

// unopened is a value in the Store that does not open, or has no record in it.
func (e *events) unopened(ctx context.Context, err error, now time.Time) {
	e.storeUnopened.Add(1)
	if n := e.unopenedValues.Add(err, now); n > 0 {
		e.logUnopened(ctx, err, n)
	}
}

func (e *events) logUnopened(ctx context.Context, err error, n int) {
	e.tell(ctx, slog.LevelWarn, "stored value does not open", n, because(err))
}

// isAhead is a token in the Store whose login lies so far ahead.
func (e *events) isAhead(ctx context.Context, ahead time.Duration, now time.Time) {
	e.storeAhead.Add(1)
	if n := e.tokensAhead.Add(ahead, now); n > 0 {
		e.logAhead(ctx, ahead, n)
	}
}

func (e *events) logAhead(ctx context.Context, ahead time.Duration, n int) {
	e.tell(ctx, slog.LevelWarn, "stored token is from the future", n, slog.Duration("ahead", ahead))
}

// closed is the end, and has those numbers told that no line has.
func (e *events) closed(ctx context.Context, users, failed int, now time.Time) {
	e.end(ctx, now)
	for _, line := range e.causes.rest() {
		e.logFailure(ctx, line)
	}
	for by, d := range e.rejected {
		if who, n := d.Rest(); n > 0 {
			e.logInvalidated(ctx, who, by, n)
		}
	}
	if who, n := e.evictedUsers.Rest(); n > 0 {
		e.logEvicted(ctx, who, n)
	}
	if failed, n := e.unendedTokens.Rest(); n > 0 {
		e.logLogoutFailed(ctx, failed, n)
	}
	if d, n := e.pauses.Rest(); n > 0 {
		e.logPaused(ctx, d, n)
	}
	if err, n := e.unopenedValues.Rest(); n > 0 {
		e.logUnopened(ctx, err, n)
	}
	if ahead, n := e.tokensAhead.Rest(); n > 0 {
		e.logAhead(ctx, ahead, n)
	}
	e.log(ctx, slog.LevelInfo, "closed", slog.Int("users", users), slog.Int("failed", failed))
}
