package body_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth/internal/body"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent")) // Go's own, on js
}

// bubble is the clock of a synctest bubble.
type bubble struct{}

func (bubble) After(d time.Duration) <-chan time.Time { return time.After(d) }

// slow is a body whose Read and Close each take their time.
type slow struct {
	io.Reader
	read, closing time.Duration
	closed        []time.Time
}

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(s.read)
	return s.Reader.Read(p)
}

func (s *slow) Close() error {
	s.closed = append(s.closed, time.Now())
	time.Sleep(s.closing)
	return errors.New("closed")
}

// post is a request with this body, which can be had again.
func post(first io.ReadCloser) *http.Request {
	req, _ := http.NewRequest(http.MethodPost, "https://looker.example", first)
	req.GetBody = func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("hello")), nil
	}
	return req
}

// checkNext asks for the next body, which must come after want, or not at all.
func checkNext(t *testing.T, bodies *body.Bodies, want time.Duration, wantOK bool) {
	t.Helper()
	before := time.Now()
	sendable, ok := bodies.Next(t.Context(), bubble{})
	next := sendable.Body
	if took := time.Since(before); ok != wantOK || took != want {
		t.Errorf("the next body came: %v, after %v, want: %v, after %v", ok, took, wantOK, want)
	}
	if !ok {
		return
	}
	if text, err := io.ReadAll(next); string(text) != "hello" || err != nil {
		t.Errorf("it is %q, %v", text, err)
	}
}

func TestNextBodyComesOnceTheFirstIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := body.Of(post(&slow{Reader: strings.NewReader("hello")}))
		first := bodies.First().Body
		go func() {
			time.Sleep(time.Second / 2)
			first.Close()
		}()
		checkNext(t, &bodies, time.Second/2, true)
	})
}

func TestNextBodyComesOnceNobodyReadsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &slow{Reader: strings.NewReader("hello"), read: time.Second / 2}
		bodies := body.Of(post(inner))
		first := bodies.First().Body
		go func() { _, _ = first.Read(make([]byte, 1)) }()
		synctest.Wait()
		before := time.Now()
		if err := first.Close(); err == nil || len(inner.closed) != 1 || inner.closed[0] != before {
			t.Errorf("closed at %v, want at once, and the error of that", inner.closed)
		}
		checkNext(t, &bodies, time.Second/2, true)
	})
}

func TestNextBodyComesOnceTheFirstHasBeenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := body.Of(post(&slow{Reader: strings.NewReader(""), closing: time.Second / 2}))
		first := bodies.First().Body
		go first.Close()
		synctest.Wait()
		checkNext(t, &bodies, time.Second/2, true)
	})
}

func TestBodyThatIsNotClosedHasNoNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := body.Of(post(&slow{Reader: strings.NewReader("hello")}))
		bodies.First()
		checkNext(t, &bodies, time.Second, false)
	})
	synctest.Test(t, func(t *testing.T) { // or that somebody goes on reading
		bodies := body.Of(post(&slow{Reader: strings.NewReader("hello"), read: time.Minute}))
		first := bodies.First().Body
		go func() { _, _ = first.Read(make([]byte, 1)) }()
		synctest.Wait()
		first.Close()
		checkNext(t, &bodies, time.Second, false)
		time.Sleep(time.Minute)
	})
	synctest.Test(t, func(t *testing.T) {
		bodies := body.Of(post(&slow{Reader: strings.NewReader("hello")}))
		bodies.First()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		before := time.Now()
		if _, ok := bodies.Next(ctx, bubble{}); ok || time.Since(before) != time.Second/2 {
			t.Errorf("the next body came: %v, after %v", ok, time.Since(before))
		}
	})
}

func TestClosedBodyIsNotUsedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &slow{Reader: strings.NewReader("hello")}
		bodies := body.Of(post(inner))
		first := bodies.First().Body
		for range 3 {
			first.Close()
		}
		n, err := first.Read(make([]byte, 1))
		if n != 0 || err == nil || len(inner.closed) != 1 {
			t.Errorf("read %d, %v; closed %d times", n, err, len(inner.closed))
		}
		checkNext(t, &bodies, 0, true)
	})
}

// A base that keeps what it has read may leave out Close.
func TestBodyThatWasReadToItsEndIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &slow{Reader: strings.NewReader("hello")}
		bodies := body.Of(post(inner))
		first := bodies.First().Body
		if text, err := io.ReadAll(first); string(text) != "hello" || err != nil {
			t.Errorf("read %q, %v", text, err)
		}
		if n, err := first.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the end: %d, %v", n, err)
		}
		if err := first.Close(); err == nil || len(inner.closed) != 1 {
			t.Errorf("Close returned %v, want its error; closed %d times", err, len(inner.closed))
		}
		checkNext(t, &bodies, 0, true)
	})
}

func TestEachNextBodyWaitsForTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := body.Of(post(io.NopCloser(strings.NewReader("hello"))))
		bodies.First().Body.Close()
		second, ok := bodies.Next(t.Context(), bubble{})
		if !ok {
			t.Fatal("there is no next body")
		}
		go func() {
			time.Sleep(time.Second / 2)
			second.Body.Close()
		}()
		checkNext(t, &bodies, time.Second/2, true)
	})
}

func TestEmptyBodiesAreSentAsTheyAre(t *testing.T) {
	for _, empty := range []io.ReadCloser{nil, http.NoBody} {
		req, _ := http.NewRequest(http.MethodGet, "https://looker.example", nil)
		req.Body = empty
		bodies := body.Of(req)
		first := bodies.First().Body
		next, ok := bodies.Next(t.Context(), bubble{})
		if first != empty || next.Body != empty || !ok || !bodies.HaveNext() {
			t.Errorf("%v: got %v, then %v, %v", empty, first, next, ok)
		}
	}
}

func TestOnlyGetBodyMakesANextOne(t *testing.T) {
	req := post(io.NopCloser(strings.NewReader("hello")))
	bodies := body.Of(req)
	if !bodies.HaveNext() {
		t.Error("there is none")
	}
	req.GetBody = nil
	bodies = body.Of(req)
	if bodies.HaveNext() || bodies.First().Body != req.Body {
		t.Error("there is one")
	}
	req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	bodies = body.Of(req)
	bodies.First().Body.Close()
	if _, ok := bodies.Next(t.Context(), bubble{}); ok {
		t.Error("it came in spite of the error")
	}
}

// net/http asks for another body by itself when a connection turns out to be closed.
func TestNextBodyWaitsForThoseThatTheBaseHasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := body.Of(post(io.NopCloser(strings.NewReader("hello"))))
		first := bodies.First()
		first.Body.Close()
		second, err := first.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second / 2)
			second.Close()
		}()
		checkNext(t, &bodies, time.Second/2, true)
	})
}

func TestGetBodyMayReturnNone(t *testing.T) {
	for _, none := range []io.ReadCloser{nil, http.NoBody} {
		req := post(io.NopCloser(strings.NewReader("hello")))
		req.GetBody = func() (io.ReadCloser, error) { return none, nil }
		bodies := body.Of(req)
		bodies.First().Body.Close()
		for range 2 {
			if next, ok := bodies.Next(t.Context(), bubble{}); !ok || next.Body != none {
				t.Errorf("got %v, %v", next.Body, ok)
			}
		}
	}
}

func TestSmallBodyInMemoryIsCopied(t *testing.T) {
	for _, reader := range []io.Reader{
		strings.NewReader("hello"), bytes.NewReader([]byte("hello")),
		bytes.NewBufferString("hello"),
	} {
		req, _ := http.NewRequest(http.MethodPost, "https://looker.example", reader)
		req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("not to be asked") }
		bodies := body.Of(req)
		first := bodies.First()
		again, err := first.GetBody()
		next, ok := bodies.Next(t.Context(), bubble{}) // while the first one is in use
		if err != nil || !ok || !bodies.HaveNext() {
			t.Fatalf("%T: %v, %v", reader, err, ok)
		}
		for _, copied := range []io.ReadCloser{first.Body, again, next.Body} {
			if text, err := io.ReadAll(copied); string(text) != "hello" || err != nil {
				t.Errorf("%T: %q, %v", reader, text, err)
			}
		}
	}
}

func TestLargeBodyIsNotCopied(t *testing.T) {
	reader := strings.NewReader(strings.Repeat("x", 64<<10+1))
	req, _ := http.NewRequest(http.MethodPost, "https://looker.example", reader)
	body.Of(req)
	if reader.Len() != 64<<10+1 {
		t.Error("it was read")
	}
}
