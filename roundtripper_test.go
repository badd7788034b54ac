package lookerauth_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// respond is what a roundTripper answers.
func respond(status int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// tokenAnswer is what Looker answers to a login.
const tokenAnswer = `{"access_token":"4QDk","token_type":"Bearer","expires_in":3600}`

// answerLogins is a base that answers logins as Looker would, wherever they go. It knows no logout.
func answerLogins() http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodDelete {
			return respond(http.StatusNoContent, nil, ""), nil
		}
		return respond(http.StatusOK, nil, tokenAnswer), nil
	})
}

// forbid is a base that answers 401 to requests for this path.
func forbid(base http.RoundTripper, path string) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.URL.Path == path {
			return respond(http.StatusUnauthorized, nil, ""), nil
		}
		return base.RoundTrip(req)
	})
}

// recordToken is a base that keeps the last token that was sent.
func recordToken(base http.RoundTripper, token *string) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if _, sent, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok {
			*token = sent
		}
		return base.RoundTrip(req)
	})
}

// seen is a call as it was on the wire.
type seen struct {
	method, path, query, contentType, authorization, body string
}

// watch is a base that records the calls.
func watch(base http.RoundTripper, calls *[]seen) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		*calls = append(*calls, seen{
			req.Method, req.URL.EscapedPath(), req.URL.RawQuery,
			req.Header.Get("Content-Type"), req.Header.Get("Authorization"), string(body),
		})
		return base.RoundTrip(req)
	})
}

// webPort is a base that answers as Looker's web server does, and as a proxy that wants people to
// sign in.
func webPort(status int) http.RoundTripper {
	return roundTripper(func(*http.Request) (*http.Response, error) {
		header := http.Header{"Content-Type": {"text/html"}}
		return respond(status, header, "<!doctype html>\n<title>Sign in</title>"), nil
	})
}

// closeRecorder is a body that knows whether it was closed.
type closeRecorder struct {
	io.Reader
	closed bool
}

func (r *closeRecorder) Close() error { r.closed = true; return nil }

// idler is a base that counts how often its idle connections were closed.
type idler struct {
	http.RoundTripper
	closed int
}

func (i *idler) CloseIdleConnections() { i.closed++ }
