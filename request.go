package lookerauth

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth/internal/body"
	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/origin"
)

// sender sends requests with a token, and only where tokens may go.
type sender struct {
	origin origin.Origin
	base   http.RoundTripper
	client *looker.Client // knows the tokens that the base's errors must not tell
}

// authorizer is a RoundTripper that puts a token on requests.
type authorizer interface{ putsToken() }

// checkBase refuses a base that puts another token in place of ours: requests would act as somebody
// else.
func checkBase(base http.RoundTripper) error {
	switch base.(type) {
	case authorizer, *oauth2.Transport:
		return errActsAsOther
	}
	return nil
}

// send sends a copy of the request with this body, which is closed, and this Authorization header;
// without any if that is "". It withholds an answer that was given to somebody else.
func (s *sender) send(
	req *http.Request, with body.Sendable, authorization string,
) (*http.Response, error) {
	out := &outgoing{request: *req}
	out.request.Body, out.request.GetBody = with.Body, with.GetBody
	out.request.Header = cloneHeader(req.Header, authorization, out.values[:0])
	resp, err := s.base.RoundTrip(&out.request)
	if err == nil && !looker.IsAnswerTo(resp, authorization) {
		if resp.Body != nil {
			resp.Body.Close()
		}
		return nil, errActsAsOther
	}
	if resp != nil {
		resp.Request = shown(req)
	}
	return resp, s.client.Scrub(err)
}

// shown returns the request that a response shows: the caller's own, as ours would tell the token
// to those who log responses. If an Authorization was replaced, it shows that.
func shown(req *http.Request) *http.Request {
	if req.Header.Get("Authorization") == "" {
		return req
	}
	shown := *req
	shown.Header = cloneHeader(req.Header, "[replaced]", nil)
	return &shown
}

// outgoing is a copy of a request, in one allocation with room for the values of its header.
type outgoing struct {
	request http.Request
	values  [6]string
}

// cloneHeader copies the header, with this Authorization instead of the one it may have. The values
// are in values, as long as there is room; no part of that has room to grow into the next.
func cloneHeader(header http.Header, authorization string, values []string) http.Header {
	clone := make(http.Header, len(header)+1)
	add := func(name string, more ...string) {
		start := len(values)
		values = append(values, more...)
		clone[name] = values[start:len(values):len(values)]
	}
	for name, more := range header {
		switch {
		case strings.EqualFold(name, "Authorization"):
		case more == nil: // which tells net/http to leave a header out
			clone[name] = nil
		default:
			add(name, more...)
		}
	}
	if authorization != "" {
		add("Authorization", authorization)
	}
	return clone
}

// admit decides whether a request may have a token. If it leads elsewhere it may not: it is an
// error if the caller made it so, and to be sent on without a token if a redirect did.
func (s *sender) admit(req *http.Request) (withToken bool, err error) {
	if s.origin.Covers(req) {
		err := checkBase(s.base)
		return err == nil, err
	}
	if req.Response != nil {
		return false, nil
	}
	return false, fmt.Errorf("lookerauth: %w: %s", ErrForeignOrigin, s.whyForeign(req))
}

// whyForeign says what of the request leads away from the base URL, and what to do.
func (s *sender) whyForeign(req *http.Request) string {
	switch s.origin.Strays(req) {
	case origin.HostHeader:
		const fix = "its Host header is %q, which a server may go by: set Request.Host to \"\" " +
			"(httputil.ReverseProxy keeps the caller's, unless it has Rewrite with SetURL)"
		return fmt.Sprintf(fix, req.Host)
	case origin.Path:
		return "its path is not plainly below the base URL's: begin it with that and a slash, " +
			"without . and .. as segments, and encode it once"
	}
	return "use another http.Client for other hosts"
}

// withoutToken ends a request that must not have a token: with err, or by sending it on as it is if
// that is nil.
func (s *sender) withoutToken(req *http.Request, err error) (*http.Response, error) {
	if err == nil {
		return s.send(req, body.AsItIs(req), "")
	}
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, err
}

// wasRejected reports whether Looker has rejected the token that a request came with.
func wasRejected(resp *http.Response, err error) bool {
	return err == nil && resp != nil && resp.StatusCode == http.StatusUnauthorized
}

// logoutPath is that of Looker's logout, below the base URL.
var logoutPath = regexp.MustCompile(`^/api/[0-9.]+/logout$`)

// endsToken reports whether Looker has ended the token that the request came with, as was asked.
func (s *sender) endsToken(req *http.Request, resp *http.Response) bool {
	return req.Method == http.MethodDelete && resp != nil && resp.StatusCode/100 == 2 &&
		logoutPath.MatchString(s.origin.Below(req.URL))
}

// clientWith returns a client that has one token, whatever becomes of that. It asks for the header,
// as a string would be printed with a client that nobody thinks of as secret.
func (s *sender) clientWith(authorization func() string) *http.Client {
	return &http.Client{Transport: &fixedTransport{s, authorization}}
}

// fixedTransport sends every request with one token.
type fixedTransport struct {
	sender        *sender
	authorization func() string
}

func (t *fixedTransport) putsToken() {}

func (t *fixedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if withToken, err := t.sender.admit(req); !withToken {
		return t.sender.withoutToken(req, err)
	}
	return t.sender.send(req, body.AsItIs(req), t.authorization())
}
