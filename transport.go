package lookerauth

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Transport is an http.RoundTripper that sends each request with the token of its identity. Get one from Cache.Transport,
// TokenSource.Transport or TokenSource.Client: the zero value is of no use. It is safe for concurrent use.
//
// Its base must not follow redirects, as an http.Client does that is made into a RoundTripper: the token would go along.
//
// A token goes nowhere but below the Config's BaseURL. A redirect that leads elsewhere is followed without it; a request made
// straight to elsewhere fails with ErrForeignOrigin.
type Transport struct {
	cache  *Cache
	source *TokenSource // nil: the context of each request names the identity
	base   http.RoundTripper
}

var _ http.RoundTripper = (*Transport)(nil)

// Transport returns a Transport for requests of several identities. WithUser or WithServiceAccount puts a request's identity
// into its context; one without gets ErrNoIdentity, never the service account. base carries the requests; if it is nil,
// the Config's Transport does.
func (c *Cache) Transport(base http.RoundTripper) *Transport {
	if base == nil {
		base = c.transport
	}
	return &Transport{cache: c, base: base}
}

// Transport returns a Transport for requests of this identity, whatever their context says. base carries the requests; if it
// is nil, the Config's Transport does.
func (s *TokenSource) Transport(base http.RoundTripper) *Transport {
	t := s.cache.Transport(base)
	t.source = s
	return t
}

// Client returns a new client whose requests are this identity's. It has no timeout.
func (s *TokenSource) Client() *http.Client {
	return &http.Client{Transport: s.Transport(nil)}
}

// clientWith returns a client that sends t as long as Looker takes it, and never asks for another token.
func (c *Cache) clientWith(t *token) *http.Client {
	return &http.Client{Transport: &fixedTransport{c.Transport(nil), t}}
}

// fixedTransport is a Transport that has one token.
type fixedTransport struct {
	transport *Transport
	token     *token
}

func (f *fixedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if tokenless, err := f.transport.guard(req); tokenless || err != nil {
		return f.transport.withoutToken(req, err)
	}
	return f.transport.send(req, req.Body, f.token)
}

// identityKey is the context key of an identity.
type identityKey struct{}

// identity is whom a request acts as.
type identity struct {
	userID  string
	service bool
}

// WithUser returns a context whose requests through Cache.Transport act as this user. It replaces an identity that ctx has.
func WithUser(ctx context.Context, userID string) context.Context {
	return context.WithValue(ctx, identityKey{}, identity{userID: userID})
}

// WithServiceAccount returns a context whose requests through Cache.Transport act as the service account itself. It replaces
// an identity that ctx has.
func WithServiceAccount(ctx context.Context) context.Context {
	return context.WithValue(ctx, identityKey{}, identity{service: true})
}

// RoundTrip sends the request with its identity's token, in place of an Authorization header that it may have. If Looker
// answers 401, the token is dropped and the request sent again with the one that replaced it (twice at most), provided that its
// body can be sent again: it has none, or GetBody. Otherwise, and if there is no other token to be had, the caller gets the 401.
//
// It blocks as TokenSource.TokenContext and the base do. The request is not modified, its body always closed. The error is the
// base's, or that of TokenSource.TokenContext (a *LoginError, the context's own, one around ErrInvalidUserID or ErrClosed), or
// one around ErrNoIdentity or ErrForeignOrigin; nothing was sent then.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if tokenless, err := t.guard(req); tokenless || err != nil {
		return t.withoutToken(req, err)
	}
	source, err := t.sourceOf(req)
	if err != nil {
		return t.withoutToken(req, err)
	}
	tok, err := source.token(req.Context())
	if err != nil {
		return t.withoutToken(req, err)
	}
	resp, err := t.send(req, req.Body, tok)
	for range maxReplays {
		if err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
			break
		}
		body, replacement := t.replacement(req, source, tok)
		if replacement == nil {
			break
		}
		if resp.Body != nil { // which a test's base may leave out
			_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // a short rest is read, so that the connection can be used again
			resp.Body.Close()
		}
		t.cache.replayed(req.Context(), source)
		tok = replacement
		resp, err = t.send(req, body, tok)
	}
	return resp, err
}

// maxReplays is how often a request is sent again. Once does nearly always: only a replacement that another process has put into
// the Store may be as dead as the token before.
const maxReplays = 2

// CloseIdleConnections closes the base's idle connections, if it can.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// sourceOf returns the TokenSource of the request's identity.
func (t *Transport) sourceOf(req *http.Request) (*TokenSource, error) {
	if t.source != nil {
		return t.source, nil
	}
	id, ok := req.Context().Value(identityKey{}).(identity)
	if !ok {
		return nil, fmt.Errorf("lookerauth: %w", ErrNoIdentity)
	}
	if id.service {
		return t.cache.service, nil
	}
	return t.cache.User(id.userID), nil
}

// replacement drops the token that Looker answered 401 to, and returns the request's body and the token to send it again with.
// The token is nil if the caller is to have the 401 that there is: a RoundTripper must not return an error of its own then.
func (t *Transport) replacement(req *http.Request, source *TokenSource, rejected *token) (io.ReadCloser, *token) {
	body, ok := bodyAgain(req)
	if !ok {
		t.cache.drop(source, rejected.oauth.AccessToken, rejectionInterval)
		return nil, nil
	}
	tok, err := source.replace(req.Context(), rejected)
	if err == nil && tok != rejected {
		return body, tok
	}
	if body != nil {
		body.Close()
	}
	return nil, nil
}

// bodyAgain returns the request's body as it was at first, if that can be had.
func bodyAgain(req *http.Request) (body io.ReadCloser, ok bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req.Body, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	return body, err == nil
}

// withoutToken ends a request that must not have a token: with err, or by sending it on as it is if that is nil.
func (t *Transport) withoutToken(req *http.Request, err error) (*http.Response, error) {
	if err == nil {
		return t.send(req, req.Body, nil)
	}
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, err
}

// send sends a copy of the request with this body, which it closes, and this token; without any if that is nil.
func (t *Transport) send(req *http.Request, body io.ReadCloser, tok *token) (*http.Response, error) {
	out := &outgoing{request: *req}
	out.request.Body = body
	out.request.Header = cloneHeader(req.Header, tok, out.values[:0])
	resp, err := t.base.RoundTrip(&out.request)
	if resp != nil {
		// The caller's own request, which tells no token to those who log the response.
		resp.Request = req
	}
	return resp, err
}

// outgoing is a copy of a request, in one allocation with room for the values of its header.
type outgoing struct {
	request http.Request
	values  [6]string
}

// cloneHeader copies the header, with tok's Authorization instead of the one it may have. The values are in values, for as long
// as there is room; no part of that has room to grow into the next.
func cloneHeader(header http.Header, tok *token, values []string) http.Header {
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
	if tok != nil {
		add("Authorization", tok.header)
	}
	return clone
}

// guard decides whether a request may have a token. One that leads elsewhere may not: it is sent on without if a redirect
// brought it there, and an error if the caller did.
func (t *Transport) guard(req *http.Request) (tokenless bool, err error) {
	if t.cache.origin.covers(req) && !t.cache.origin.left(req) {
		return false, nil
	}
	if req.Response != nil {
		return true, nil
	}
	return false, fmt.Errorf("lookerauth: %w", ErrForeignOrigin)
}

// origin is where tokens may go: a scheme, a host and a port, and the paths below a prefix.
type origin struct {
	scheme    string
	authority string // as it is in the base URL, and so in nearly all requests
	host      string // lower case
	port      string // even if it is the scheme's own
	prefix    string // as on the wire, without a slash at the end; "" if there is none
}

// newOrigin takes a valid base URL.
func newOrigin(baseURL string) origin {
	u, err := url.Parse(baseURL)
	if err != nil {
		panic(err) // the Config was validated
	}
	host, port := hostPort(u.Scheme, u.Host)
	return origin{u.Scheme, u.Host, host, port, u.EscapedPath()}
}

// covers reports whether the request leads below the origin, by all that a server or a proxy might look at.
func (o *origin) covers(req *http.Request) bool {
	u := req.URL
	if u == nil || u.Opaque != "" || !strings.EqualFold(u.Scheme, o.scheme) || !o.isAt(u.Host) {
		return false
	}
	if req.Host != "" && req.Host != u.Host && !o.isAt(req.Host) {
		return false
	}
	if o.prefix == "" {
		return true
	}
	p := u.EscapedPath()
	rest, ok := strings.CutPrefix(p, o.prefix)
	return ok && (rest == "" || rest[0] == '/') && !hasDotSegment(rest)
}

// left reports whether one of the redirects that led to this request went elsewhere: who sent it back here is not Looker.
func (o *origin) left(req *http.Request) bool {
	for resp := req.Response; resp != nil && resp.Request != nil; resp = resp.Request.Response {
		if !o.covers(resp.Request) {
			return true
		}
	}
	return false
}

// isAt reports whether host, which may have a port, is the origin's.
func (o *origin) isAt(host string) bool {
	if host == o.authority {
		return true
	}
	name, port := hostPort(o.scheme, host)
	return name == o.host && port == o.port
}

// hostPort splits a host, in lower case, from its port, which is the scheme's own if it has none.
func hostPort(scheme, host string) (name, port string) {
	host = strings.ToLower(host)
	colon := strings.LastIndexByte(host, ':')
	if colon > strings.LastIndexByte(host, ']') {
		host, port = host[:colon], host[colon+1:]
	}
	switch {
	case port != "":
		return host, port
	case scheme == "http":
		return host, "80"
	}
	return host, "443"
}

var percentEncoded = regexp.MustCompile("%[0-9A-Fa-f]{2}")

// hasDotSegment reports whether a path as on the wire has a segment that leads up, or stays, for any server or proxy on the
// way: those differ in how often they decode, take a backslash for a slash, and cut parameters off.
func hasDotSegment(escaped string) bool {
	for decoded := ""; decoded != escaped; {
		decoded = escaped
		escaped = percentEncoded.ReplaceAllStringFunc(decoded, func(code string) string {
			char, _ := strconv.ParseUint(code[1:], 16, 8) // two hexadecimal digits
			return string([]byte{byte(char)})
		})
	}
	for segment := range strings.SplitSeq(strings.ReplaceAll(escaped, `\`, "/"), "/") {
		segment, _, _ = strings.Cut(segment, ";")
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
