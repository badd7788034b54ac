package lookerauth

import (
	"fmt"
	"net/http"

	"github.com/lookerauth/lookerauth/internal/body"
	"github.com/lookerauth/lookerauth/internal/token"
)

// Transport is an [http.RoundTripper] that sends each request with the token of its identity. Get
// one from [Cache.Transport], [TokenSource.Transport] or [TokenSource.Client]: the zero value is of
// no use. It is safe for concurrent use.
//
// Its base must not follow redirects, as an [http.Client] does that is made into a RoundTripper:
// the token would go along. Nor must it authorize requests itself, as an [oauth2.Transport] or
// another Transport does: they would act as somebody else. Such a base gets no request; one that is
// found out by its first response loses that. Use its own Base instead.
//
// A token goes nowhere but below [Config.BaseURL]. A redirect that leads elsewhere is followed
// without it; a request made straight to elsewhere fails with [ErrForeignOrigin].
type Transport struct {
	cache  *Cache
	source *TokenSource // nil: the context of each request names the identity
	sender sender
}

var _ http.RoundTripper = (*Transport)(nil)

// Format writes whose requests it sends, and no token, whatever the verb.
func (t Transport) Format(f fmt.State, _ rune) { printWithout(f, t) }

// MarshalText returns whose requests it sends. The error is always nil.
func (t Transport) MarshalText() ([]byte, error) {
	who := "of each request's context"
	if t.source != nil {
		who = printable(t.source.Identity().String())
	}
	return []byte("lookerauth.Transport{Identity: " + who + "}"), nil
}

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
// one that replaced it (twice at most), if its body can be sent again: it has none, or GetBody,
// which is called once the base has closed the body before. Otherwise, and if there is no other
// token to be had, the caller gets the 401.
//
// If the replacement is rejected, too, the endpoint is to blame: the next replacement waits for 10
// seconds, which double each time, up to 10 minutes. A replay that succeeds, [TokenSource.Logout]
// and [TokenSource.Invalidate] reset that. A DELETE of Looker's logout takes the token out of
// service when Looker grants it.
//
// It blocks as [TokenSource.TokenContext] and the base do. The request is not modified, its body
// always closed. The error is the base's, or one of [TokenSource.TokenContext], or one around
// [ErrForeignOrigin]; nothing was sent in the latter two cases. Nor was it through a base that is
// known to authorize requests; where only the response shows that, an error comes in its place.
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
	bodies := body.Of(req)
	resp, err := t.sender.send(req, bodies.First(), tok.Header())
	// One replay is nearly always enough: only a replacement that another process has put into the
	// Store may be as dead as the token before.
	replays := 0
	for ; wasRejected(resp, err); replays++ {
		t.cache.reject(req.Context(), slot, tok, byRequest)
		// A token that is still served is not to blame.
		if replays == maxReplays || !tok.Retired() || !bodies.HaveNext() {
			return resp, nil
		}
		next, replacement := t.prepareReplay(req, slot, bodies, resp)
		if replacement == nil {
			return resp, nil
		}
		t.cache.events.replayed(req.Context(), Identity{slot.Key()})
		tok = replacement
		resp, err = t.sender.send(req, next, tok.Header())
	}
	if err == nil && replays > 0 && resp.StatusCode < 500 { // which says nothing of the token
		t.cache.accept(slot, tok)
	}
	if err == nil && t.sender.endsToken(req, resp) {
		t.cache.ended(req.Context(), slot, tok)
	}
	return resp, err
}

// prepareReplay returns what to send a request with again that was answered with this 401. The
// token is nil if the caller is to have that: a RoundTripper must not return an error of its own
// then.
func (t *Transport) prepareReplay(
	req *http.Request, slot *token.Slot, bodies body.Bodies, rejection *http.Response,
) (body.Sendable, *token.Token) {
	ctx, clock := req.Context(), t.cache.clock
	body.Drain(ctx, clock, rejection) // the login may need its connection
	replacement, err := t.cache.token(ctx, slot)
	if err != nil {
		return body.Sendable{}, nil
	}
	next, ok := bodies.Next(ctx, clock)
	if !ok {
		return body.Sendable{}, nil
	}
	return next, replacement
}

// putsToken says that a Transport is no base of another one.
func (t *Transport) putsToken() {}

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
