package lookerauth

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
)

// Stats says what a [Cache] holds now, and counts what it did since it was made.
type Stats struct {
	Users        int    // users whose token is kept
	Logins       uint64 // successful logins, of the service account and of users
	FailedLogins uint64 // logins that failed after all their tries
	SharedLogins uint64 // callers that waited for a login which another caller had started
	Refreshes    uint64 // of Logins, those that replaced a token which could still be used
	Rejections   uint64 // tokens invalidated: by a 401 of Looker's, or by TokenSource.Invalidate
	Replays      uint64 // requests sent a second time after a 401
	Evictions    uint64 // users pushed out by more recent ones
	Logouts      uint64 // tokens logged out at Looker
	StoreHits    uint64 // tokens taken from the Store, each of which saved a login
	StoreErrors  uint64 // operations of the Store that failed or took too long
}

// events counts what happens, and logs it: one method for each. It is safe for concurrent use.
type events struct {
	logger *slog.Logger // nil: nothing is logged

	logins, failedLogins, sharedLogins, refreshes, rejections, replays atomic.Uint64
	evictions, logouts, storeHits, storeErrors                         atomic.Uint64
}

// stats returns the counts.
func (e *events) stats() Stats {
	return Stats{
		Logins:       e.logins.Load(),
		FailedLogins: e.failedLogins.Load(),
		SharedLogins: e.sharedLogins.Load(),
		Refreshes:    e.refreshes.Load(),
		Rejections:   e.rejections.Load(),
		Replays:      e.replays.Load(),
		Evictions:    e.evictions.Load(),
		Logouts:      e.logouts.Load(),
		StoreHits:    e.storeHits.Load(),
		StoreErrors:  e.storeErrors.Load(),
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

func (e *events) loggedIn(ctx context.Context, who Identity, life time.Duration) {
	e.logins.Add(1)
	e.log(ctx, slog.LevelDebug, "logged in", whose(who), slog.Duration("life", life))
}

// refreshed is a login that replaced a token which could still be used.
func (e *events) refreshed(ctx context.Context, who Identity, life time.Duration) {
	e.logins.Add(1)
	e.refreshes.Add(1)
	e.log(ctx, slog.LevelDebug, "token refreshed", whose(who), slog.Duration("life", life))
}

func (e *events) takenFromStore(ctx context.Context, who Identity) {
	e.storeHits.Add(1)
	e.log(ctx, slog.LevelDebug, "token taken from the store", whose(who))
}

// loginFailed is a login that may not be tried again before holdDown has passed.
func (e *events) loginFailed(
	ctx context.Context, who Identity, err error, holdDown time.Duration,
) {
	e.failedLogins.Add(1)
	e.log(ctx, slog.LevelWarn, "login failed",
		whose(who), because(err), slog.Duration("hold_down", holdDown))
}

// joined is a caller who has waited for a login that another one had started.
func (e *events) joined() { e.sharedLogins.Add(1) }

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
