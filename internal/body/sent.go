// Package body has bodies that are sent or read while somebody waits to be through with them: those
// of requests that may be sent again, and those of responses whose connection is needed.
package body

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// Clock is the part of a clock that a time-out needs.
type Clock interface {
	After(d time.Duration) <-chan time.Time
}

// closeTime is how long a body that was sent may take to be closed.
const closeTime = time.Second

// Bodies are those of one request, which is sent once or more. They are for one goroutine.
type Bodies struct {
	request *http.Request
	last    *sent // nil if it can be sent as it is, or not again at all
}

// Of returns the bodies of a request.
func Of(req *http.Request) Bodies { return Bodies{request: req} }

// First returns the body to send first.
func (b *Bodies) First() io.ReadCloser {
	if b.isEmpty() || b.request.GetBody == nil {
		return b.request.Body
	}
	b.last = &sent{inner: b.request.Body, uses: 1}
	return b.last
}

// HaveNext reports whether the body can be sent again.
func (b *Bodies) HaveNext() bool { return b.isEmpty() || b.request.GetBody != nil }

func (b *Bodies) isEmpty() bool { return b.request.Body == nil || b.request.Body == http.NoBody }

// Next returns the body to send again. It first waits until nobody uses the last one, as both may
// be over one file. ok is false if that takes a second, or ctx ends.
func (b *Bodies) Next(ctx context.Context, clock Clock) (body io.ReadCloser, ok bool) {
	if b.isEmpty() {
		return b.request.Body, true
	}
	select {
	case <-b.last.whenUnused():
	case <-clock.After(closeTime):
		return nil, false
	case <-ctx.Done():
		return nil, false
	}
	body, err := b.request.GetBody()
	if err != nil {
		return nil, false
	}
	b.last = &sent{inner: body, uses: 1}
	return b.last, true
}

// sent is a body that knows whether it is in use: net/http may go on reading it when it has
// returned the response.
type sent struct {
	inner io.ReadCloser

	mu     sync.Mutex    // guards what is below
	closed bool          // nothing is read any more
	end    error         // what a Read gets then
	uses   int           // reads under way, and one until Close has returned
	unused chan struct{} // closed without uses; nil until somebody asks for it
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
		_ = s.close(io.EOF) // some base, which has all of it now, never does
	}
	return n, err
}

// Close closes the body at once, even while somebody reads it, who may wait for just that.
func (s *sent) Close() error { return s.close(http.ErrBodyReadAfterClose) }

func (s *sent) close(end error) error {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.closed, s.end = true, end
	}
	s.mu.Unlock()
	if closed {
		return nil
	}
	defer s.used()
	return s.inner.Close()
}

// used ends one use.
func (s *sent) used() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses--
	if s.uses == 0 && s.unused != nil {
		close(s.unused)
	}
}

// whenUnused returns a channel that is closed once the body is closed, and nobody reads it.
func (s *sent) whenUnused() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unused == nil {
		s.unused = make(chan struct{})
		if s.uses == 0 {
			close(s.unused)
		}
	}
	return s.unused
}
