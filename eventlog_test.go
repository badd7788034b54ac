package lookerauth_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// handlerFunc is a log handler that wants to see every event.
type handlerFunc func(context.Context, slog.Record)

func (f handlerFunc) Enabled(context.Context, slog.Level) bool { return true }

func (f handlerFunc) Handle(ctx context.Context, record slog.Record) error {
	f(ctx, record)
	return nil
}

func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f handlerFunc) WithGroup(string) slog.Handler { return f }

// event is what a log handler got.
type event struct {
	at      time.Time
	level   slog.Level
	message string
	attrs   []slog.Attr
}

func (e event) String() string {
	var text strings.Builder
	text.WriteString(e.level.String() + " " + e.message)
	for _, attr := range e.attrs {
		text.WriteString(" " + attr.String())
	}
	return text.String()
}

// eventLog is a log handler that keeps the events.
type eventLog struct {
	mu     sync.Mutex
	events []event // guarded by mu
}

func (l *eventLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *eventLog) Handle(_ context.Context, record slog.Record) error {
	e := event{at: record.Time, level: record.Level, message: record.Message}
	record.Attrs(func(attr slog.Attr) bool {
		e.attrs = append(e.attrs, attr)
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
	return nil
}

func (l *eventLog) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *eventLog) WithGroup(string) slog.Handler { return l }

// all returns the events so far.
func (l *eventLog) all() []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]event(nil), l.events...)
}

// String has a line for each event.
func (l *eventLog) String() string {
	var text strings.Builder
	for _, e := range l.all() {
		text.WriteString(e.String() + "\n")
	}
	return text.String()
}

// check compares how often text is in the events.
func (l *eventLog) check(t *testing.T, text string, want int) {
	t.Helper()
	if n := strings.Count(l.String(), text); n != want {
		t.Errorf("%q was logged %d times, want %d:\n%s", text, n, want, l)
	}
}
