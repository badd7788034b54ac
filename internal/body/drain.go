package body

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	drainTime = time.Second

	// lastRead is for how long the Read under way is left alone when the caller leaves. Close may
	// wait for it, too: net/http's does, where the last one takes up to 50 ms if the request is
	// still being sent.
	lastRead   = 100 * time.Millisecond
	maxDrain   = 64 << 10 // bytes
	maxNothing = 100      // reads in a row that bring nothing
)

// Drain reads the response to its end and closes it, so that others can have its connection. What
// was read stays its body. It waits for a second at most, or until ctx ends, and for 64 KiB: a body
// that goes on, or panics, ends in [io.ErrUnexpectedEOF] then.
func Drain(ctx context.Context, clock Clock, resp *http.Response) {
	if resp.Body == nil { // which a test's base may leave out
		return
	}
	d := &drained{body: resp.Body}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.read()
		d.close()
	}()
	select {
	case <-done:
	case <-clock.After(drainTime):
		d.giveUp()
		go d.close()
	case <-ctx.Done():
		d.giveUp()
		go func() {
			select {
			case <-done:
			case <-clock.After(lastRead):
			}
			d.close()
		}()
	}
	resp.Body = d.rest()
}

// drained is what was read of a body, be it that a Read is still under way. The body is a base's:
// it may block in all that it does, and panic.
type drained struct {
	body   io.ReadCloser
	closed atomic.Bool

	mu      sync.Mutex // guards what is below
	text    []byte
	end     error // why there is no more; nil if that is not known
	givenUp bool
}

// read reads until there is no more to be had.
func (d *drained) read() {
	defer func() { _ = recover() }()
	chunk := make([]byte, 4<<10)
	for total, nothing := 0, 0; total <= maxDrain && nothing < maxNothing; nothing++ {
		n, err := d.body.Read(chunk)
		if n > 0 {
			nothing = 0
		}
		total += n
		if !d.add(chunk[:n], err) {
			return
		}
	}
}

// add reports whether more is wanted.
func (d *drained) add(text []byte, end error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text, d.end = append(d.text, text...), end
	return end == nil && !d.givenUp
}

// close closes the body once, whoever comes first.
func (d *drained) close() {
	defer func() { _ = recover() }()
	if !d.closed.Swap(true) {
		_ = d.body.Close()
	}
}

// giveUp lets no further Read begin.
func (d *drained) giveUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.givenUp = true
}

// rest returns what was read until now as a body.
func (d *drained) rest() io.ReadCloser {
	d.mu.Lock()
	defer d.mu.Unlock()
	end := d.end
	if end == nil {
		end = io.ErrUnexpectedEOF
	}
	return &readAhead{bytes.NewReader(d.text), end}
}

// readAhead is a body that was read, and ends as that did.
type readAhead struct {
	text *bytes.Reader
	end  error
}

func (r *readAhead) Read(p []byte) (int, error) {
	n, err := r.text.Read(p)
	if err == io.EOF {
		err = r.end
	}
	return n, err
}

func (r *readAhead) Close() error { return nil }
