package lookerauth

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
)

// logger writes events to the user's Logger.
type logger struct {
	slog *slog.Logger // nil: nothing is logged
}

// log writes an event to the user's Logger, in the caller's goroutine, unless ctx has it held back.
// Otherwise no lock may be held. A panic in the Logger stays there. The documentation of the
// package lists all events.
func (l *logger) log(ctx context.Context, level slog.Level, event string, attrs ...slog.Attr) {
	if l.slog == nil {
		return
	}
	record := slog.NewRecord(time.Now(), level, "lookerauth: "+event, 0)
	record.AddAttrs(attrs...)
	l.write(ctx, record)
}

// tell logs one of n events that happened since the last line of their kind; or at Debug, if n is
// 0, one that comes too early for a line, and will be in the number of the next.
func (l *logger) tell(
	ctx context.Context, level slog.Level, event string, n int, attrs ...slog.Attr,
) {
	if n == 0 {
		l.log(ctx, slog.LevelDebug, event, attrs...)
		return
	}
	l.log(ctx, level, event, append(attrs, slog.Int("count", n))...)
}

func (l *logger) write(ctx context.Context, record slog.Record) {
	if held, ok := ctx.Value(heldKey{l}).(*heldRecords); ok && held.add(record) {
		return
	}
	guard.Recover(func() {
		if l.slog.Enabled(ctx, record.Level) {
			_ = l.slog.Handler().Handle(ctx, record)
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
type heldKey struct{ logger *logger }

// hold returns a context whose events are held back until release is called. They then go where
// those of ctx go, with the time at which they happened.
func (l *logger) hold(ctx context.Context) (_ context.Context, release func()) {
	if l.slog == nil {
		return ctx, func() {}
	}
	held := &heldRecords{}
	return context.WithValue(ctx, heldKey{l}, held), func() {
		for _, record := range held.release() {
			l.write(ctx, record)
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
