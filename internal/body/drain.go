package body

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	drainTime = time.Second
	readGrace = 100 * time.Millisecond
	maxDrain  = 64 << 10 // bytes
)

// Drain reads the response to its end and closes it, so that others can have its connection. What
// was read stays its body. It waits for a second at most, and for 64 KiB: a body that goes on ends
// in [io.ErrUnexpectedEOF] then.
func Drain(ctx context.Context, clock Clock, resp *http.Response) {
	body := resp.Body
	if body == nil { // which a test's base may leave out
		return
	}
	d := &drained{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.read(body)
	}()
	select {
	case <-done:
		body.Close()
		resp.Body = d.rest()
	case <-clock.After(drainTime):
		resp.Body = d.rest()
		go body.Close()
	case <-ctx.Done():
		resp.Body = d.rest()
		go closeSoon(clock, body, done)
	}
}

// closeSoon closes a body once done says that nobody reads it, or to end a Read that blocks. A
// Close may wait for a Read under way: net/http's does, whose last one takes up to 50 ms if the
// request is still being sent.
func closeSoon(clock Clock, body io.Closer, done <-chan struct{}) {
	select {
	case <-done:
	case <-clock.After(readGrace):
	}
	body.Close()
}

// drained is what was read of a body, be it that a Read is still under way.
type drained struct {
	mu   sync.Mutex // guards what is below
	text []byte
	end  error // why there is no more; nil if that is not known
}

func (d *drained) read(body io.Reader) {
	chunk := make([]byte, 4<<10)
	for total := 0; total <= maxDrain; {
		n, err := body.Read(chunk)
		total += n
		d.mu.Lock()
		d.text, d.end = append(d.text, chunk[:n]...), err
		d.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// rest returns what was read until now as a body.
func (d *drained) rest() io.ReadCloser {
	d.mu.Lock()
	defer d.mu.Unlock()
	end := d.end
	if end == nil {
		end = io.ErrUnexpectedEOF
	}
	return &ended{bytes.NewReader(d.text), end}
}

// ended is a body that was read, and ends as that did.
type ended struct {
	text *bytes.Reader
	end  error
}

func (e *ended) Read(p []byte) (int, error) {
	n, err := e.text.Read(p)
	if err == io.EOF {
		err = e.end
	}
	return n, err
}

func (e *ended) Close() error { return nil }
