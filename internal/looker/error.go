package looker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
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
func (c *call) noAnswer(ctx context.Context, cause error) *Error {
	if ctx.Err() != nil {
		if late, ok := context.Cause(ctx).(*Error); ok { // whoever made the call says what it means
			return late
		}
		return &Error{Err: context.Cause(ctx)}
	}
	return &Error{NoAnswer: true, Err: Scrub(cause, c.secrets...)}
}

// refused is the error for an answer other than success.
func (c *call) refused(ans answer, now time.Time) *Error {
	message, isLooker := c.message(ans.body)
	e := &Error{Status: ans.status, Message: message}
	switch {
	case ans.status == http.StatusTooManyRequests:
		e.RetryAfter = retryAfter(ans.header, now)
	case ans.status >= 500:
		e.RetryAfter = retryAfter(ans.header, now)
		e.Err = errors.New("the server, or a proxy before it, is not well: try again later")
	case ans.status >= 300 && ans.status < 400:
		e.NotLooker = true
		e.Err = errors.New("a redirect, which the API key must not follow")
	case !isLooker:
		e.NotLooker = true
	}
	return e
}

// scrub replaces every secret in s, as it is and as forms and URLs encode it.
func scrub(s string, secrets []string) string {
	for _, secret := range secrets {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			if form != "" {
				s = strings.ReplaceAll(s, form, "[secret]")
			}
		}
	}
	return s
}

// Scrub returns err with the secrets kept out of its text. errors.Is sees err itself.
func Scrub(err error, secrets ...string) error {
	if text := scrub(err.Error(), secrets); text != err.Error() {
		return &scrubbedError{text, err}
	}
	return err
}

// scrubbedError is an error whose own text would tell a secret.
type scrubbedError struct {
	text string
	err  error
}

func (e *scrubbedError) Error() string        { return e.text }
func (e *scrubbedError) Is(target error) bool { return errors.Is(e.err, target) }
