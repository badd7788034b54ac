package lookerauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
)

// Stats says what a [Cache] holds now, and counts what it did since it was made. It is comparable.
// A caller who is refused at once, by a hold-down or during a pause, is no login; nor is one that
// failed once Logout or Close had discarded its result.
type Stats struct {
	Users          int    // users whose token is kept, usable or not
	LoginsInFlight int    // logins that have one of the Config.MaxConcurrentLogins slots now
	LoginsQueued   int    // logins that wait for a slot now, or for the end of a pause
	Logins         uint64 // granted logins, in all

	ServiceAccount LoginStats // of login
	UserLogins     LoginStats // of login_user

	LoginTime   time.Duration // of all logins, failed ones too, each from its turn to its end
	Joins       uint64        // callers who got the result of a login under way when they came
	Rejections  uint64        // tokens invalidated: by a 401, or by TokenSource.Invalidate
	Replays     uint64        // requests sent a second time after a 401
	Evictions   uint64        // users pushed out by more recent ones
	Logouts     uint64        // tokens logged out at Looker
	StoreHits   uint64        // tokens taken from the Store, each of which saved a login
	StoreErrors uint64        // operations of the Store that failed or took too long
}

// LoginStats counts logins. A login is in the background if it was begun to replace an aging token,
// and no caller waited for it in the end. A user's login that waits for the service account's is a
// caller of that.
type LoginStats struct {
	Granted       uint64        // for callers who waited; AfterLogin succeeded, too
	Refreshed     uint64        // likewise, in the background
	Failed        LoginFailures // for callers who waited; after all their tries
	RefreshFailed LoginFailures // in the background; the old token may be usable yet
}

// LoginFailures counts failed logins by the reason of their last try.
type LoginFailures struct {
	Refused     uint64 // Looker said no to the API key, or to acting as the user: any other 4xx
	NotFound    uint64 // Looker knows no such user: ErrUserNotFound
	RateLimited uint64 // Looker answered 429
	Unavailable uint64 // no answer, none in time, or a 5xx, whoever sent that
	Other       uint64 // not Looker's answer; a function in the Config failed; a panic
}

// events counts what happens, and logs it: one method for each. It is safe for concurrent use.
type events struct {
	logger *slog.Logger // nil: nothing is logged

	serviceAccount, userLogins loginCounts
	loginTime                  atomic.Int64 // nanoseconds

	joins, rejections, replays, evictions atomic.Uint64
	logouts, storeHits, storeErrors       atomic.Uint64
}

// loginCounts is a LoginStats that is being counted, and failureCounts a LoginFailures.
type loginCounts struct {
	granted, refreshed    atomic.Uint64
	failed, refreshFailed failureCounts
}

type failureCounts struct {
	refused, notFound, rateLimited, unavailable, other atomic.Uint64
}

func (c *loginCounts) stats() LoginStats {
	return LoginStats{
		Granted:       c.granted.Load(),
		Refreshed:     c.refreshed.Load(),
		Failed:        c.failed.stats(),
		RefreshFailed: c.refreshFailed.stats(),
	}
}

func (c *failureCounts) stats() LoginFailures {
	return LoginFailures{
		Refused:     c.refused.Load(),
		NotFound:    c.notFound.Load(),
		RateLimited: c.rateLimited.Load(),
		Unavailable: c.unavailable.Load(),
		Other:       c.other.Load(),
	}
}

// of returns the count of this failure's reason.
func (c *failureCounts) of(failed *CallError) *atomic.Uint64 {
	_, isUsers := failed.Err.(*userError) // whatever it wraps
	switch status := failed.StatusCode; {
	case isUsers:
		return &c.other
	case status == http.StatusTooManyRequests:
		return &c.rateLimited
	case failed.temporary() || failed.Timeout():
		return &c.unavailable
	case status < 400 || errors.Is(failed.Err, ErrNotLooker):
		return &c.other
	case errors.Is(failed.Err, ErrUserNotFound):
		return &c.notFound
	}
	return &c.refused
}

// stats returns the counts.
func (e *events) stats() Stats {
	service, users := e.serviceAccount.stats(), e.userLogins.stats()
	return Stats{
		Logins:         service.Granted + service.Refreshed + users.Granted + users.Refreshed,
		ServiceAccount: service,
		UserLogins:     users,
		LoginTime:      time.Duration(e.loginTime.Load()),
		Joins:          e.joins.Load(),
		Rejections:     e.rejections.Load(),
		Replays:        e.replays.Load(),
		Evictions:      e.evictions.Load(),
		Logouts:        e.logouts.Load(),
		StoreHits:      e.storeHits.Load(),
		StoreErrors:    e.storeErrors.Load(),
	}
}

// log writes an event to the user's Logger, in the caller's goroutine, unless ctx has it held back.
// Otherwise no lock may be held. A panic in the Logger stays there. The documentation of the
// package lists all events.
func (e *events) log(ctx context.Context, level slog.Level, event string, attrs ...slog.Attr) {
	if e.logger == nil {
		return
	}
	record := slog.NewRecord(time.Now(), level, "lookerauth: "+event, 0)
	record.AddAttrs(attrs...)
	e.write(ctx, record)
}

func (e *events) write(ctx context.Context, record slog.Record) {
	if held, ok := ctx.Value(heldKey{e}).(*heldRecords); ok && held.add(record) {
		return
	}
	guard.Recover(func() {
		if e.logger.Enabled(ctx, record.Level) {
			_ = e.logger.Handler().Handle(ctx, record)
		}
	})
}

// heldRecords are the events of a job for which callers wait. They have to get its result first, as
// a Logger may call back, and then waits for that result, too.
type heldRecords struct {
	mu       sync.Mutex // guards what is below
	records  []slog.Record
	released bool
}

// heldKey is the context key of what is held back of one Cache's events.
type heldKey struct{ events *events }

// hold returns a context whose events are held back until release is called. They then go where
// those of ctx go, with the time at which they happened.
func (e *events) hold(ctx context.Context) (_ context.Context, release func()) {
	if e.logger == nil {
		return ctx, func() {}
	}
	held := &heldRecords{}
	return context.WithValue(ctx, heldKey{e}, held), func() {
		for _, record := range held.release() {
			e.write(ctx, record)
		}
	}
}

// add reports whether the event is held back.
func (h *heldRecords) add(record slog.Record) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.released {
		h.records = append(h.records, record)
	}
	return !h.released
}

func (h *heldRecords) release() []slog.Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = true
	return h.records
}

func whose(who Identity) slog.Attr { return slog.Any("identity", who) }
func because(err error) slog.Attr  { return slog.Any("error", err) }

// counts counts the time that a login took, and returns where its end is counted.
func (e *events) counts(who Identity, took time.Duration) *loginCounts {
	e.loginTime.Add(int64(took))
	if who.isUser() {
		return &e.userLogins
	}
	return &e.serviceAccount
}

// loggedIn is a login for which somebody waited.
func (e *events) loggedIn(ctx context.Context, who Identity, life, took time.Duration) {
	e.counts(who, took).granted.Add(1)
	e.log(ctx, slog.LevelDebug, "logged in", whose(who), slog.Duration("life", life))
}

// refreshed is a login in the background, for which nobody waited.
func (e *events) refreshed(ctx context.Context, who Identity, life, took time.Duration) {
	e.counts(who, took).refreshed.Add(1)
	e.log(ctx, slog.LevelDebug, "token refreshed", whose(who), slog.Duration("life", life))
}

func (e *events) takenFromStore(ctx context.Context, who Identity) {
	e.storeHits.Add(1)
	e.log(ctx, slog.LevelDebug, "token taken from the store", whose(who))
}

// loginFailed is a login that may not be tried again before holdDown has passed. failed is what
// went wrong with it, and err what callers get.
func (e *events) loginFailed(
	ctx context.Context, failed *CallError, err error, waited bool, holdDown, took time.Duration,
) {
	counts := e.counts(failed.Identity, took)
	failures := &counts.refreshFailed
	if waited {
		failures = &counts.failed
	}
	failures.of(failed).Add(1)
	e.log(ctx, slog.LevelWarn, "login failed",
		whose(failed.Identity), because(err), slog.Duration("hold_down", holdDown))
}

// joined is a caller who has waited for a login that another one had started.
func (e *events) joined() { e.joins.Add(1) }

func (e *events) invalidated(ctx context.Context, who Identity) {
	e.rejections.Add(1)
	e.log(ctx, slog.LevelInfo, "token rejected", whose(who))
}

func (e *events) replayed(ctx context.Context, who Identity) {
	e.replays.Add(1)
	e.log(ctx, slog.LevelDebug, "request replayed", whose(who))
}

func (e *events) evicted(ctx context.Context, who Identity) {
	e.evictions.Add(1)
	e.log(ctx, slog.LevelDebug, "user evicted", whose(who))
}

func (e *events) discarded(ctx context.Context, who Identity) {
	e.log(ctx, slog.LevelDebug, "token discarded", whose(who))
}

func (e *events) loggedOut(ctx context.Context, who Identity) {
	e.logouts.Add(1)
	e.log(ctx, slog.LevelDebug, "logged out", whose(who))
}

func (e *events) logoutFailed(ctx context.Context, who Identity, err error) {
	e.log(ctx, slog.LevelWarn, "logout failed", whose(who), because(err))
}

// storeFailed is an operation of the Store; it is logged if it is the first one of an outage.
func (e *events) storeFailed(ctx context.Context, err error, first bool) {
	e.storeErrors.Add(1)
	if first {
		e.log(ctx, slog.LevelWarn, "store failed", because(err))
	}
}

func (e *events) storeWorks(ctx context.Context) {
	e.log(ctx, slog.LevelInfo, "store works again")
}

func (e *events) unopened(ctx context.Context, err error) {
	e.log(ctx, slog.LevelWarn, "stored value does not open", because(err))
}

func (e *events) closed(ctx context.Context, users, failed int) {
	e.log(ctx, slog.LevelInfo, "closed", slog.Int("users", users), slog.Int("failed", failed))
}
