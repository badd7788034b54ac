package lookerauth

import (
	"io"
	"net/http"

	"github.com/lookerauth/lookerauth/internal/token"
)

// Transport is an [http.RoundTripper] that sends each request with the token of its identity. Get
// one from [Cache.Transport], [TokenSource.Transport] or [TokenSource.Client]: the zero value is of
// no use. It is safe for concurrent use.
//
// Its base must not follow redirects, as an [http.Client] does that is made into a RoundTripper:
// the token would go along.
//
// A token goes nowhere but below [Config.BaseURL]. A redirect that leads elsewhere is followed
// without it; a request made straight to elsewhere fails with [ErrForeignOrigin].
type Transport struct {
	cache  *Cache
	source *TokenSource // nil: the context of each request names the identity
	sender sender
}

var _ http.RoundTripper = (*Transport)(nil)

// Transport returns a [Transport] for requests of several identities. [WithIdentity], or one of its
// shorthands, puts a request's identity into its context; one without gets [ErrNoIdentity], and is
// never the service account's. base carries the requests; if it is nil, [Config.Transport] does.
func (c *Cache) Transport(base http.RoundTripper) *Transport {
	t := &Transport{cache: c, sender: c.sender}
	if base != nil {
		t.sender.base = base
	}
	return t
}

// Transport returns a [Transport] for requests of this identity, whatever their context says. base
// carries the requests; if it is nil, [Config.Transport] does.
func (s *TokenSource) Transport(base http.RoundTripper) *Transport {
	t := s.cache.Transport(base)
	t.source = s
	return t
}

// Client returns a new client whose requests are this identity's. It has no timeout.
func (s *TokenSource) Client() *http.Client {
	return &http.Client{Transport: s.Transport(nil)}
}

// RoundTrip sends the request with its identity's token, in place of an Authorization header that
// it may have. If Looker answers 401, the token is invalidated, and the request sent again with the
// one that replaced it (twice at most), if its body can be sent again: it has none, or GetBody.
// Otherwise, and if there is no other token to be had, the caller gets the 401.
//
// It blocks as [TokenSource.TokenContext] and the base do. The request is not modified, its body
// always closed. The error is the base's, or that of [TokenSource.TokenContext] (a [*CallError],
// the context's own, one around [ErrInvalidIdentity] or [ErrClosed]), or one around [ErrNoIdentity]
// or [ErrForeignOrigin]; nothing was sent then.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if withToken, err := t.sender.admit(req); !withToken {
		return t.sender.withoutToken(req, err)
	}
	slot, err := t.slotOf(req)
	if err != nil {
		return t.sender.withoutToken(req, err)
	}
	tok, err := t.cache.token(req.Context(), slot)
	if err != nil {
		return t.sender.withoutToken(req, err)
	}
	resp, err := t.sender.send(req, req.Body, tok.Header())
	// Once is nearly always enough: only a replacement that another process has put into the Store
	// may be as dead as the token before.
	for range maxReplays {
		if err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
			break
		}
		body, replacement := t.replacement(req, slot, tok)
		if replacement == nil {
			break
		}
		if resp.Body != nil { // which a test's base may leave out
			// A short rest is read, so that the connection can be used again.
			_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
			resp.Body.Close()
		}
		t.cache.events.replayed(req.Context(), Identity{slot.Key()})
		tok = replacement
		resp, err = t.sender.send(req, body, tok.Header())
	}
	return resp, err
}

// CloseIdleConnections closes the base's idle connections, if it can.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.sender.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// slotOf returns the Slot of the request's identity.
func (t *Transport) slotOf(req *http.Request) (*token.Slot, error) {
	if t.source != nil {
		return t.source.slot, nil
	}
	who := FromContext(req.Context())
	if who == (Identity{}) {
		return nil, noIdentity()
	}
	return t.cache.tokens.Slot(who.key), nil
}

// replacement invalidates the token that Looker answered 401 to, and returns the request's body and
// the token to send it again with. The token is nil if the caller is to have the 401 that there is:
// a RoundTripper must not return an error of its own then.
func (t *Transport) replacement(
	req *http.Request, slot *token.Slot, rejected *token.Token,
) (io.ReadCloser, *token.Token) {
	body, ok := bodyAgain(req)
	if !ok {
		t.cache.reject(req.Context(), slot, rejected)
		return nil, nil
	}
	tok, err := t.cache.replace(req.Context(), slot, rejected)
	if err == nil && tok != rejected {
		return body, tok
	}
	if body != nil {
		body.Close()
	}
	return nil, nil
}
