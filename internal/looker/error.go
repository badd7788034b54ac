package looker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Error says how a call failed. What that means is for others to say.
type Error struct {
	Status     int           // of the answer; 0 if none came
	Message    string        // Looker's own, shortened and scrubbed of secrets; "" if none
	RetryAfter time.Duration // of a 429 or a 5xx; 0 if Looker did not say
	NotLooker  bool          // whether something other than a Looker API answered
	NoAnswer   bool          // whether the call was sent, and no complete answer came
	Err        error         // what is wrong; may be nil
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %v", e.Status, e.Message, e.Err) }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// noAnswer is the error of a call that was sent and not answered in full.
func (c *Client) noAnswer(ctx context.Context, cause error) *Error {
	if ctx.Err() != nil {
		if late, ok := context.Cause(ctx).(*Error); ok { // whoever made the call says what it means
			return late
		}
		return &Error{Err: c.Scrub(context.Cause(ctx))}
	}
	return &Error{NoAnswer: true, Err: c.Scrub(cause)}
}

// refused is the error for an answer other than success.
func (c *Client) refused(ans answer) *Error {
	message, isLooker := c.message(ans.body)
	e := &Error{Status: ans.status, Message: message}
	switch {
	case ans.status == http.StatusTooManyRequests:
		e.RetryAfter = retryAfter(ans.header, c.now())
	case ans.status >= 500:
		e.RetryAfter = retryAfter(ans.header, c.now())
		e.Err = errors.New("the server, or a proxy before it, is not well: try again later")
	case ans.status >= 300 && ans.status < 400:
		e.NotLooker = true
		e.Err = errors.New("a redirect, which the API key must not follow")
	case !isLooker:
		e.NotLooker = true
	}
	return e
}

// Scrub returns err with every secret that the Client knows kept out of its text; nil for nil.
// errors.Is sees err itself.
func (c *Client) Scrub(err error) error {
	if err == nil {
		return nil
	}
	text := c.secrets.Scrub(err.Error())
	if text == err.Error() {
		return err
	}
	var cause net.Error
	return &scrubbedError{
		text:    text,
		is:      func(target error) bool { return errors.Is(err, target) },
		timeout: errors.As(err, &cause) && cause.Timeout(),
	}
}

// scrubbedError is an error whose own text would tell a secret. It hands the original out to
// nobody, nor does it hold it where package fmt would print it. It is a [net.Error], as the
// original may be one.
type scrubbedError struct {
	text    string
	is      func(target error) bool
	timeout bool
}

func (e *scrubbedError) Error() string        { return e.text }
func (e *scrubbedError) Is(target error) bool { return e.is(target) }
func (e *scrubbedError) Timeout() bool        { return e.timeout }

// Temporary reports what most time-outs do, as the interface wants it.
func (e *scrubbedError) Temporary() bool { return e.timeout }
