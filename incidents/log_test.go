package incidents

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// line is one that a process has logged.
type line struct {
	at    time.Time
	level slog.Level
	text  string // the level, the message and the attributes
}

func (l line) String() string { return l.at.Format("15:04:05 ") + l.text }

// log is a log handler that keeps the lines, at Debug.
type log struct {
	mu     sync.Mutex // guards what is below
	lines  []line
	closed bool
}

func (l *log) Enabled(context.Context, slog.Level) bool { return true }

func (l *log) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *log) WithGroup(string) slog.Handler { return l }

func (l *log) Handle(_ context.Context, record slog.Record) error {
	var text strings.Builder
	message := strings.TrimPrefix(record.Message, "lookerauth: ")
	text.WriteString(record.Level.String() + " " + message)
	record.Attrs(func(attr slog.Attr) bool {
		fmt.Fprintf(&text, " %s=%v", attr.Key, attr.Value.Resolve())
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.lines = append(l.lines, line{record.Time, record.Level, text.String()})
	}
	return nil
}

// close has the log keep no more lines.
func (l *log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// told returns the lines above Debug.
func (l *log) told() (told []line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line.level > slog.LevelDebug {
			told = append(told, line)
		}
	}
	return told
}

// has reports whether a line tells this: the words of want, in this order, among others.
func has(lines []line, want string) bool {
	words := strings.Fields(regexp.QuoteMeta(want))
	pattern := regexp.MustCompile(`^` + strings.Join(words, ` (?:.* )?`) + `(?: |$)`)
	for _, line := range lines {
		if pattern.MatchString(line.text) {
			return true
		}
	}
	return false
}

// secret is what tokens and keys look like, and no word does.
var secret = regexp.MustCompile(`[A-Za-z0-9]{20,}`)

// checkLog fails the test if there are too many lines for a person to read, or one has a secret.
func checkLog(t *testing.T, l *log) {
	t.Helper()
	const most, within = 10, 5 * time.Minute
	told := l.told()
	for i := most; i < len(told); i++ {
		if told[i].at.Sub(told[i-most].at) < within {
			t.Errorf("more than %d lines in %v:\n%v", most, within, told[i-most:i+1])
			break
		}
	}
	for _, line := range l.lines {
		if secret.MatchString(line.text) {
			t.Errorf("a secret was logged: %v", line)
		}
	}
}
