package body_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/internal/body"
)

const maxDrain = 64 << 10

// stream is a body that blocks at its end until it is closed.
type stream struct {
	io.Reader
	closed chan struct{}
}

func newStream(text string) *stream { return &stream{strings.NewReader(text), make(chan struct{})} }

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		<-s.closed
		err = errors.New("read after Close")
	}
	return n, err
}

func (s *stream) Close() error { close(s.closed); return nil }

// checkDrained drains a response with this body, and looks at what is left.
func checkDrained(
	t *testing.T, ctx context.Context, from io.ReadCloser, took time.Duration,
	want string, end error,
) {
	t.Helper()
	before := time.Now()
	resp := &http.Response{Body: from}
	body.Drain(ctx, bubble{}, resp)
	if got := time.Since(before); got != took {
		t.Errorf("it took %v, want %v", got, took)
	}
	got, err := io.ReadAll(resp.Body)
	if string(got) != want || !errors.Is(err, end) {
		t.Errorf("%d bytes are left, and %v, want %d, and %v", len(got), err, len(want), end)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestDrainedBodyIsStillThere(t *testing.T) {
	for _, n := range []int{0, 1, 4096, 5000, maxDrain} {
		synctest.Test(t, func(t *testing.T) {
			text := strings.Repeat("x", n)
			from := &slow{Reader: strings.NewReader(text)}
			checkDrained(t, t.Context(), from, 0, text, nil)
			if len(from.closed) != 1 {
				t.Errorf("it was closed %d times", len(from.closed))
			}
		})
	}
}

func TestBodyThatGoesOnIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := newStream("Requires")
		checkDrained(t, t.Context(), from, time.Second, "Requires", io.ErrUnexpectedEOF)
		time.Sleep(time.Second) // it is closed in the background
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		checkDrained(t, ctx, newStream("Requires"), time.Second/2, "Requires", io.ErrUnexpectedEOF)
		time.Sleep(time.Second) // it is closed in the background
	})
}

// locked is a body whose Close waits for a Read under way, as net/http's does. Time in a bubble
// does not pass meanwhile.
type locked struct {
	mu sync.Mutex
	slow
}

func (l *locked) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slow.Read(p)
}

func (l *locked) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slow.Close()
}

func TestBodyIsClosedOnceTheReadUnderWayHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		from := &locked{slow: slow{
			Reader: strings.NewReader(""), read: time.Second/2 + 50*time.Millisecond,
		}}
		checkDrained(t, ctx, from, time.Second/2, "", io.ErrUnexpectedEOF)
		time.Sleep(time.Second)
		from.mu.Lock()
		defer from.mu.Unlock()
		if len(from.closed) != 1 {
			t.Errorf("it was closed %d times", len(from.closed))
		}
	})
}

func TestLargeBodyIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := &slow{Reader: strings.NewReader(strings.Repeat("x", 10*maxDrain))}
		resp := &http.Response{Body: from}
		body.Drain(t.Context(), bubble{}, resp)
		got, err := io.ReadAll(resp.Body)
		if len(got) < maxDrain || len(got) > maxDrain+4096 || err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes are left, and %v", len(got), err)
		}
		if len(from.closed) != 1 {
			t.Error("it was not closed")
		}
	})
}

func TestErrorOfADrainedBodyIsStillThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("connection reset")
		from := io.MultiReader(strings.NewReader("Requires"), iotest.ErrReader(broken))
		checkDrained(t, t.Context(), io.NopCloser(from), 0, "Requires", broken)
	})
}

func TestNoBodyIsDrained(t *testing.T) {
	resp := &http.Response{}
	body.Drain(t.Context(), bubble{}, resp)
	if resp.Body != nil {
		t.Errorf("it has the body %v", resp.Body)
	}
}

// broken is a body that panics.
type broken struct{}

func (broken) Read([]byte) (int, error) { panic("read") }
func (broken) Close() error             { panic("close") }

// idle is a body that brings nothing, and never ends.
type idle struct{ reads int }

func (i *idle) Read([]byte) (int, error) { i.reads++; return 0, nil }
func (i *idle) Close() error             { return nil }

func TestBodyThatIsBrokenIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checkDrained(t, t.Context(), broken{}, 0, "", io.ErrUnexpectedEOF)
		checkDrained(t, t.Context(), &idle{}, 0, "", io.ErrUnexpectedEOF)
	})
}

func TestCloseThatBlocksHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := &slow{Reader: strings.NewReader("Requires"), closing: time.Hour}
		checkDrained(t, t.Context(), from, time.Second, "Requires", nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(from.closed) != 1 {
			t.Errorf("it was closed %d times", len(from.closed))
		}
	})
}
