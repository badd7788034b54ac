// Package body has bodies that are sent or read while somebody waits to be through with them: those
// of requests that may be sent again, and those of responses whose connection is needed.
package body

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// Clock is the part of a clock that a time-out needs.
type Clock interface {
	After(d time.Duration) <-chan time.Time
}

// closeTime is how long a body that was sent may take to be closed.
const closeTime = time.Second

// Sendable is what a request is sent with: its Body, and its GetBody.
type Sendable struct {
	Body    io.ReadCloser
	GetBody func() (io.ReadCloser, error)
}

// AsItIs returns what the request has.
func AsItIs(req *http.Request) Sendable { return Sendable{req.Body, req.GetBody} }

// Bodies are those of one request, which is sent once or more.
type Bodies struct {
	request *http.Request
	small   []byte   // the body, if it is small and in memory; nil otherwise
	sent    *tracker // nil if there is no body, or none that can be sent again, or a small one
}

// maxSmall is how many bytes are copied, so that nobody has to wait.
const maxSmall = 64 << 10

// Of returns the bodies of a request. Its own may be read then.
func Of(req *http.Request) Bodies {
	switch {
	case isEmpty(req.Body) || req.GetBody == nil:
		return Bodies{request: req}
	case req.ContentLength > 0 && req.ContentLength <= maxSmall && isInMemory(req.Body):
		if small, err := io.ReadAll(req.Body); err == nil { // as all in memory is
			return Bodies{request: req, small: small}
		}
	}
	return Bodies{request: req, sent: &tracker{getBody: req.GetBody}}
}

// The types that [io.NopCloser] makes.
var nopClosers = []reflect.Type{
	reflect.TypeOf(io.NopCloser(struct{ io.Reader }{})),
	reflect.TypeOf(io.NopCloser(struct {
		io.Reader
		io.WriterTo
	}{})),
}

// isInMemory reports whether a body is what [http.NewRequest] makes of a reader in memory. net/http
// sends those, and only those, together with the header.
func isInMemory(body io.ReadCloser) bool {
	if !slices.Contains(nopClosers, reflect.TypeOf(body)) {
		return false
	}
	switch reflect.ValueOf(body).Field(0).Interface().(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader:
		return true
	}
	return false
}

// copyOf returns a body that nobody else has.
func (b Bodies) copyOf() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b.small)), nil
}

func isEmpty(body io.ReadCloser) bool { return body == nil || body == http.NoBody }

// First returns what to send the request with at first.
func (b Bodies) First() Sendable {
	if b.small != nil {
		body, _ := b.copyOf()
		return Sendable{body, b.copyOf}
	}
	if b.sent == nil {
		return AsItIs(b.request)
	}
	return Sendable{b.sent.track(b.request.Body), b.sent.get}
}

// HaveNext reports whether the body can be sent again.
func (b Bodies) HaveNext() bool {
	return b.small != nil || b.sent != nil || isEmpty(b.request.Body)
}

// Next returns what to send the request with again. It first waits until nobody uses what was sent
// before, as all may be over one file. ok is false if that takes a second, or ctx ends.
func (b Bodies) Next(ctx context.Context, clock Clock) (next Sendable, ok bool) {
	if b.sent == nil {
		return b.First(), true
	}
	var late <-chan time.Time
	for _, before := range b.sent.all() {
		select {
		case <-before.unused:
			continue
		default:
		}
		if late == nil {
			late = clock.After(closeTime)
		}
		select {
		case <-before.unused:
		case <-late:
			return Sendable{}, false
		case <-ctx.Done():
			return Sendable{}, false
		}
	}
	body, err := b.sent.get()
	return Sendable{body, b.sent.get}, err == nil
}

// tracker knows all bodies of a request that somebody may use: net/http asks for another one by
// itself when a connection turns out to be closed.
type tracker struct {
	getBody func() (io.ReadCloser, error) // the request's

	mu     sync.Mutex // guards what is below
	bodies []*sent
}

// track returns the body as one that is known.
func (t *tracker) track(body io.ReadCloser) io.ReadCloser {
	if isEmpty(body) {
		return body
	}
	s := &sent{inner: body, uses: 1, unused: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bodies = append(t.bodies, s)
	return s
}

// get is GetBody.
func (t *tracker) get() (io.ReadCloser, error) {
	body, err := t.getBody()
	if err != nil {
		return nil, err
	}
	return t.track(body), nil
}

func (t *tracker) all() []*sent {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bodies[:len(t.bodies):len(t.bodies)]
}

// sent is a body that knows whether it is in use: net/http may go on reading it when it has
// returned the response.
type sent struct {
	inner  io.ReadCloser
	unused chan struct{} // closed once the body is, and nobody reads it

	mu       sync.Mutex // guards what is below
	closed   bool       // nothing is read any more
	end      error      // what a Read gets then
	closeErr error      // what Close got, once that has returned
	uses     int        // reads under way, and one until Close has returned; 0 for ever then
}

func (s *sent) Read(p []byte) (int, error) {
	s.mu.Lock()
	if s.closed {
		defer s.mu.Unlock()
		return 0, s.end
	}
	s.uses++
	s.mu.Unlock()
	defer s.used()
	n, err := s.inner.Read(p)
	if err == io.EOF {
		_ = s.close(io.EOF) // some base, which has all of it now, never does; Close has its error
	}
	return n, err
}

// Close closes the body at once, even while somebody reads it, who may wait for just that.
func (s *sent) Close() error { return s.close(http.ErrBodyReadAfterClose) }

func (s *sent) close(end error) error {
	s.mu.Lock()
	if s.closed {
		defer s.mu.Unlock()
		return s.closeErr
	}
	s.closed, s.end = true, end
	s.mu.Unlock()
	defer s.used()
	err := s.inner.Close()
	s.mu.Lock()
	s.closeErr = err
	s.mu.Unlock()
	return err
}

// used ends one use.
func (s *sent) used() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses--
	if s.uses == 0 {
		close(s.unused)
	}
}
