package lookerauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

// TokenSource gives the token of one identity: the service account or one user. It is an oauth2.TokenSource.
//
// A fresh token is returned at once. So is an aging one, while a login in the background replaces it. Only if there is no
// token, or it has expired, does a caller wait for a login, and all callers wait for the same one.
//
// Get one from Cache.ServiceAccount or Cache.User: the zero value is of no use. It is safe for concurrent use and cheap; keep it
// or ask for it again. It works for as long as its Cache is open, whether its token is still cached or not.
type TokenSource struct {
	cache  *Cache
	held   atomic.Pointer[token] // the identity's token when it was last asked for; it says itself when it is out of date
	userID string                // "" for the service account, and for an invalid id
}

var _ oauth2.TokenSource = (*TokenSource)(nil)

// Token is TokenContext without a context: it waits for as long as a login takes. The token is the caller's own, as
// oauth2.ReuseTokenSource, which is in oauth2.NewClient, writes to the one that it gets.
func (s *TokenSource) Token() (*oauth2.Token, error) {
	t, err := s.token(context.Background())
	if err != nil {
		return nil, err
	}
	own := t.oauth
	return &own, nil
}

// TokenContext returns a token that is good for at least another 10 seconds (or another tenth of its life, if that is less).
// Its Expiry is the true one, but no more than 24 hours after its login; its TokenType is "token", as Looker documents the header,
// and Extra("token_type") is what Looker said. It is shared, which saves an allocation: treat it as read-only.
//
// It blocks only while there is no such token. When ctx ends first it returns ctx's error at once, and the login goes on for
// others. The error of a login is a *LoginError, or one around ErrInvalidUserID or ErrClosed; after a failure, callers get
// the same error without a call for 1 to 30 seconds.
func (s *TokenSource) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	t, err := s.token(ctx)
	if err != nil {
		return nil, err
	}
	return &t.oauth, nil
}

// Invalidate drops the token, if rejected is still the current one: the next caller waits for a new one. Call it when Looker
// answered 401 to a request that did not go through a Transport of this package. It does not block.
func (s *TokenSource) Invalidate(rejected *oauth2.Token) {
	if rejected != nil {
		s.cache.drop(s, rejected.AccessToken, 0)
	}
}

// Logout forgets the identity's token and kills it at Looker. A login under way is for nothing: its token is killed, too, and
// those who wait for it wait for another. The identity may be used again afterwards, which logs it in anew.
//
// It blocks until Looker has answered or ctx ends. If it fails with a *LoginError, the token may live until it expires, but
// nobody gets it from here any more, unless it could not be taken out of a Store either.
func (s *TokenSource) Logout(ctx context.Context) error {
	if err := s.validate(); err != nil {
		return err
	}
	if err := s.cache.flights.abandon(s); err != nil {
		return err
	}
	defer s.cache.flights.landed.Done()
	return s.cache.kill(ctx, s.userID, s.cache.forget(s), func(entry) bool { return true })
}

// token is TokenContext, and every request's way.
func (s *TokenSource) token(ctx context.Context) (*token, error) {
	now := s.cache.clock.Now().UnixNano()
	if t := s.held.Load(); t != nil && t.fresh(now) && s.cache.isRecent(t) {
		return t, nil
	}
	return s.tokenFromCache(ctx, now)
}

// tokenFromCache takes the token from the cache, or gets it there.
func (s *TokenSource) tokenFromCache(ctx context.Context, now int64) (*token, error) {
	t := s.cache.current(s)
	if t == nil || t.expired(now) {
		return s.wait(ctx)
	}
	if !t.fresh(now) {
		s.cache.flights.start(s, s.logIn)
	}
	return t, nil
}

func (s *TokenSource) wait(ctx context.Context) (*token, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	return s.cache.flights.get(ctx, s, s.logIn)
}

// validate refuses a user id that cannot be one. The service account has none.
func (s *TokenSource) validate() error {
	if s == s.cache.service {
		return nil
	}
	if err := validateUserID(s.userID); err != nil {
		return fmt.Errorf("lookerauth: user %q: %w", s.userID, err)
	}
	return nil
}

// rejectionInterval is the least time between two logins of an identity that come from 401s: an endpoint that always answers
// 401 must not cause a storm of logins.
const rejectionInterval = 10 * time.Second

// replace returns the token to use instead of one that Looker answered 401 to. It is rejected itself if it was to replace
// another one a moment ago: the token is then not to blame.
func (s *TokenSource) replace(ctx context.Context, rejected *token) (*token, error) {
	s.cache.drop(s, rejected.oauth.AccessToken, rejectionInterval)
	return s.token(ctx)
}

// logIn gets a new token, unless another login has just ended.
func (s *TokenSource) logIn(ctx context.Context, e effort) (*token, error) {
	last := s.cache.last(s)
	if last != nil && last.fresh(s.cache.clock.Now().UnixNano()) {
		return last, nil
	}
	if s.cache.shared != nil {
		return s.logInForAll(ctx, e, last)
	}
	t, _, err := s.mint(ctx, e, last)
	return t, err
}

// logInForAll gets a token from the Store, or a new one which it puts there. Of all processes one does the latter.
func (s *TokenSource) logInForAll(ctx context.Context, e effort, last *token) (*token, error) {
	shared := s.cache.shared
	if s != s.cache.service && !s.cache.api.knowsAccount() { // which is the service account's to find out, and to be held down for
		if _, err := s.cache.service.token(ctx); err != nil {
			return nil, serviceError(ctx, err)
		}
	}
	name, err := shared.name(ctx, s.userID)
	if err != nil {
		return nil, serviceError(ctx, &LoginError{Op: opLogin, Err: fmt.Errorf("no API key: %w", err)})
	}
	if t := s.fromStore(ctx, name, last); t != nil {
		return t, nil
	}
	if s != s.cache.service { // whose login must not keep the user's lock
		if _, err := s.cache.service.token(ctx); err != nil {
			return nil, serviceError(ctx, err)
		}
	}
	unlock := shared.lock(ctx, name)
	defer unlock()
	if t := s.fromStore(ctx, name, last); t != nil { // by the process that had the lock before
		return t, nil
	}
	t, g, err := s.mint(ctx, e, last)
	if err == nil {
		shared.put(ctx, s.userID, g)
	}
	return t, err
}

// fromStore returns the stored token if it is usable and newer than the last one that was seen here. A stored one that was
// rejected here is removed.
func (s *TokenSource) fromStore(ctx context.Context, name string, last *token) *token {
	shared := s.cache.shared
	e, ok := shared.get(ctx, name)
	if !ok {
		return nil
	}
	if last != nil && last.isEntry(e) {
		if last.retired() {
			_ = shared.remove(ctx, name, e) // or it is overwritten in a moment
		}
		return nil
	}
	t := newToken(s, e.grant)
	if t.expired(s.cache.clock.Now().UnixNano()) {
		return nil
	}
	if last != nil && !last.retired() && t.sent <= last.sent { // a rejected one's replacement may be by a clock that is behind
		return nil
	}
	shared.hits.Add(1)
	s.cache.log(ctx, slog.LevelDebug, "token taken from the store", slog.String("user_id", s.userID))
	return t
}

// mint logs in. It returns the token even if AfterLogin failed, so that it can be killed.
func (s *TokenSource) mint(ctx context.Context, e effort, last *token) (*token, grant, error) {
	c, now := s.cache, s.cache.clock.Now().UnixNano()
	g, err := s.grant(ctx, e)
	if err != nil {
		return nil, grant{}, err
	}
	t := newToken(s, g)
	if err := s.prepare(ctx, t); err != nil {
		return t, g, err
	}
	c.stats.logins.Add(1)
	event := "logged in"
	if last != nil && !last.retired() && !last.expired(now) {
		c.stats.refreshes.Add(1)
		event = "token refreshed"
	}
	c.log(ctx, slog.LevelDebug, event, slog.String("user_id", s.userID), slog.Duration("life", g.life))
	return t, g, nil
}

// prepare runs AfterLogin, in a goroutine of its own: not even a panic in it may lose the token.
func (s *TokenSource) prepare(ctx context.Context, t *token) error {
	if s.cache.afterLogin == nil {
		return nil
	}
	err := <-protect(func() error { return s.cache.afterLogin(ctx, s.userID, s.cache.clientWith(t)) })
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx) // why it was cut short
	}
	return afterLoginFailed(s.op(), s.userID, t.oauth.AccessToken, err)
}

// grant makes the call: login for the service account, login_user, authorized by the service account, for a user.
func (s *TokenSource) grant(ctx context.Context, e effort) (grant, error) {
	c := s.cache
	if s == c.service {
		return c.api.login(ctx, e)
	}
	admin, err := c.service.token(ctx)
	if err != nil {
		return grant{}, serviceError(ctx, err)
	}
	g, err := c.api.loginUser(ctx, e, s.userID, admin.header)
	for range maxReplays {
		var failed *LoginError
		if !errors.As(err, &failed) || failed.StatusCode != http.StatusUnauthorized {
			break
		}
		replacement, replaceErr := c.service.replace(ctx, admin)
		if replaceErr != nil {
			return grant{}, serviceError(ctx, replaceErr)
		}
		if replacement == admin {
			break
		}
		admin = replacement
		g, err = c.api.loginUser(ctx, e, s.userID, admin.header)
	}
	return g, err
}

// op is the call that logs this identity in.
func (s *TokenSource) op() string {
	if s == s.cache.service {
		return opLogin
	}
	return opLoginUser
}

// serviceError is what a user's login fails with if the service account has no token. If the wait for it was cut short, it says
// why, which the context's own error does not.
func serviceError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &LoginError{Op: opLogin, Err: context.Cause(ctx)}
	}
	return err
}

// token is one of Looker's tokens, with the times that decide what it is good for. They are nanoseconds, since 1970 by the
// wall clock where they are points in time: monotonic time stops while a machine sleeps, and tokens age all the same. There
// may be a million of them: nothing is held twice.
type token struct {
	// What every request looks at comes first, to be on one line of the processor's cache.

	source TokenSource // its identity's, for those who look the user up; holds this token
	sent   int64       // when the login was sent, where the token's life starts

	// freshFor is how long after sent the token is served without another thought. It is 0 once the token is retired: replaced,
	// evicted, logged out or rejected. Every copy of it is then known to be out of date.
	freshFor atomic.Int64

	touched atomic.Uint64 // what Cache.added was when the identity was last moved to the front of the LRU

	oauth       oauth2.Token // its AccessToken is a part of header, not a copy
	header      string       // the Authorization header
	rejectedAt  int64        // guarded by Cache.mu: when this identity's token was last dropped for a 401; noRejection if never
	predecessor *token       // guarded by Cache.mu: the token before, as long as Looker may still accept it
}

// noRejection is longer ago than any interval.
const noRejection = math.MinInt64

// bearerExtra is shared by all tokens, as nearly all have this type.
var bearerExtra = map[string]any{"token_type": "Bearer"}

// newToken makes a token of s's identity. It ages refreshBefore before it stops being usable, but no more than a quarter of its
// life, and spread at random over the first fifth of that time, so that tokens minted together are not renewed together.
func newToken(s *TokenSource, g grant) *token {
	end := usable(g.life)
	window := min(s.cache.refreshBefore, g.life/4, end)
	fresh := end - window + rand.N(window/5+1)

	extra := bearerExtra
	if g.tokenType != "Bearer" {
		extra = map[string]any{"token_type": g.tokenType}
	}
	header := g.header()
	oauth := oauth2.Token{
		AccessToken: header[len(header)-len(g.accessToken):],
		TokenType:   "token",
		Expiry:      g.sent.Round(0).Add(g.life),
	}
	t := &token{
		oauth:      *oauth.WithExtra(extra),
		header:     header,
		sent:       g.sent.UnixNano(),
		rejectedAt: noRejection,
	}
	t.freshFor.Store(int64(fresh))
	t.source.cache, t.source.userID = s.cache, s.userID
	t.source.held.Store(t)
	return t
}

// fresh reports whether t may be served as it is. A token that was minted in the future is not fresh, as its difference is
// huge when unsigned: the clock was set back since then, and its age is unknown.
func (t *token) fresh(now int64) bool { return uint64(now-t.sent) < uint64(t.freshFor.Load()) }

// expired reports whether t must not be served any more.
func (t *token) expired(now int64) bool {
	life := t.oauth.Expiry.UnixNano() - t.sent
	return now-t.sent >= int64(usable(time.Duration(life)))
}

// usable is how long a token may be served at all: until 10 s before its expiry, or for nine tenths of its life if that is
// shorter.
func usable(life time.Duration) time.Duration { return life - min(10*time.Second, life/10) }

// dead reports whether Looker itself has let t expire by now. It counts from its answer, which came after the login was sent.
func (t *token) dead(now int64) bool { return now >= t.oauth.Expiry.Add(answerTime).UnixNano() }

// answerTime is longer than the answer to a login takes.
const answerTime = time.Minute

// retire makes every copy of t out of date.
func (t *token) retire() { t.freshFor.Store(0) }

func (t *token) retired() bool { return t.freshFor.Load() == 0 }

// forgetDead cuts those predecessors off that Looker has let expire by now. Cache.mu is held.
func (t *token) forgetDead(now int64) {
	for t.predecessor != nil {
		if t.predecessor.dead(now) {
			t.predecessor = t.predecessor.predecessor
			continue
		}
		t = t.predecessor
	}
}

// isEntry reports whether the entry of a Store is this token.
func (t *token) isEntry(e entry) bool { return e.accessToken == t.oauth.AccessToken }
