package lookerauth

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth/internal/token"
)

// TokenSource gives the token of one identity: the service account or one user. It is an
// [oauth2.TokenSource].
//
// A fresh token is returned at once. So is an aging one, while a login in the background replaces
// it. Only if there is no usable token does a caller wait for a login, and all callers wait for the
// same one.
//
// Get one from [Cache.As], [Cache.User] or [Cache.ServiceAccount]: the zero value is of no use. It
// is safe for concurrent use and cheap; keep it or ask for it again. It works for as long as its
// [Cache] is open, whether its token is still cached or not.
type TokenSource struct {
	cache *Cache
	slot  *token.Slot
}

var _ oauth2.TokenSource = (*TokenSource)(nil)

// Format writes whose token it is, and not the token, whatever the verb.
func (s TokenSource) Format(f fmt.State, _ rune) { printWithout(f, s) }

// MarshalText returns whose token it is. The error is always nil.
func (s TokenSource) MarshalText() ([]byte, error) {
	var who Identity // nobody, if s is the zero value
	if s.slot != nil {
		who = s.Identity()
	}
	return []byte("lookerauth.TokenSource{Identity: " + printable(who.String()) + "}"), nil
}

// As returns a [TokenSource] that acts as who. It makes no call and does not block. The zero
// [Identity], or one that cannot be, makes every call of the TokenSource fail.
func (c *Cache) As(who Identity) *TokenSource {
	// So small that it is inlined, which saves the allocation if the TokenSource is not kept.
	return &TokenSource{c, c.tokens.Slot(who.key)}
}

// User is [Cache.As] of the [User] with this id.
func (c *Cache) User(id string) *TokenSource { return &TokenSource{c, c.tokens.Slot(User(id).key)} }

// ServiceAccount is [Cache.As] of the [ServiceAccount], the API key's own identity.
func (c *Cache) ServiceAccount() *TokenSource { return c.As(ServiceAccount()) }

// Identity returns whose token s gives: the one that was asked for.
func (s *TokenSource) Identity() Identity { return Identity{s.slot.Key()} }

// Token is [TokenSource.TokenContext] without a context: it waits for as long as a login takes, and
// for its turn, without a limit of the caller's. The token is the caller's own, as
// oauth2.ReuseTokenSource, which is in [oauth2.NewClient], writes to the one that it gets.
func (s *TokenSource) Token() (*oauth2.Token, error) {
	t, err := s.cache.token(context.Background(), s.slot)
	if err != nil {
		return nil, err
	}
	own := *t.OAuth()
	return &own, nil
}

// TokenContext returns a token that is good for at least another 10 seconds (or another tenth of
// its life, if that is less). Its Expiry is the true one, but no more than 24 hours after its
// login; its TokenType is "token", as Looker documents the header, and Extra("token_type") is what
// Looker said. It is shared, which saves an allocation: copy it before you change it.
//
// It blocks only while there is no such token. When ctx ends first it returns at once, with the
// cause of that, or with an error around it that says why the login has not had its turn, or how
// its last try failed: that is no [*CallError], as the login goes on, be it for others or because
// its turn has begun. Another one leaves the queue.
//
// The error of a login is a [*CallError]. Others are around [ErrNoIdentity], [ErrInvalidIdentity],
// [ErrNoServiceAccount] or [ErrClosed], or say that Logout has discarded eleven logins in a row, as
// a function in the Config seems to call it. After a failed login, callers get the same error
// without a call for 1 to 30 seconds, or for as long as Looker has asked for with a 5xx, up to 5
// minutes.
func (s *TokenSource) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	t, err := s.cache.token(ctx, s.slot)
	if err != nil {
		return nil, err
	}
	return t.OAuth(), nil
}

// ExportOptions says what an exported token has to be good for. The zero value asks for what
// [TokenSource.TokenContext] promises.
type ExportOptions struct {
	// MinLife is how long the token has to live yet when it is handed out, at most nine tenths of a
	// whole life: an hour is Looker's default.
	MinLife time.Duration
}

// Export returns a token for use outside this process, such as in a browser: whoever has it may do
// with Looker's API all that the user may. It is the current one, or a new one that becomes that if
// the current one ends too soon. What comes after it here leaves it alive: a refresh, a rejection,
// an eviction, and Close. Only [TokenSource.Logout] and [Cache.LogoutAll] end it, as they end all
// that this Cache has exported of the user.
//
// The token is the caller's own. Encoded as JSON it is what browsers want: its TokenType is
// "Bearer", and ExpiresIn, in seconds, and Expiry say when Looker lets it expire. Answer with it
// over https, with the header "Cache-Control: no-store", and only to whom the user is.
//
// The Cache does not see what Looker answers elsewhere. If that is 401, hand the token to
// [TokenSource.Invalidate] before the next Export: somebody may have ended it.
//
// It blocks as TokenContext does, and has the same errors. That there can be no such token, as
// MinLife is too long, is one more; so is the service account, whose token is for nobody else.
func (s *TokenSource) Export(ctx context.Context, opts ExportOptions) (*oauth2.Token, error) {
	if err := s.cache.validate(s.Identity()); err != nil {
		return nil, err
	}
	if !s.Identity().isUser() {
		return nil, errExport
	}
	if opts.MinLife < 0 {
		const negative = "lookerauth: export: MinLife is %v: use a positive duration, or 0"
		return nil, fmt.Errorf(negative, opts.MinLife)
	}
	t, now, err := s.export(ctx, opts.MinLife)
	if err != nil {
		return nil, err
	}
	exported := *t.OAuth()
	exported.TokenType = "Bearer"
	exported.ExpiresIn = int64(exported.Expiry.Sub(now) / time.Second)
	return exported.WithExtra(nil), nil
}

// export returns a token that lives for least yet, marked as exported, and the time.
func (s *TokenSource) export(
	ctx context.Context, least time.Duration,
) (*token.Token, time.Time, error) {
	c, slot := s.cache, s.slot
	ctx = withLeastLife(ctx, least)
	t := c.current(slot, c.clock.Now().UnixNano())
	for waited, short := false, 0; ; {
		now := wallTime(c.clock)
		switch {
		case t == nil:
		case t.Lasts(least, now.UnixNano()) && c.mayLast(t, least):
			if c.tokens.Export(slot.Key(), t.OAuth().AccessToken, now.UnixNano()) {
				if waited {
					c.events.waited(ctx, nil)
				}
				return t, now, nil
			}
			t = c.current(slot, now.UnixNano()) // somebody has taken that one out meanwhile
			continue
		default:
			if short++; short > maxShort || !c.mayLast(t, least) {
				return nil, now, lifeError(least, t.Response().Life)
			}
		}
		waited = true
		var err error
		if t, err = c.wait(ctx, slot); err != nil {
			c.events.waited(ctx, err)
			return nil, now, err
		}
	}
}

// maxShort is how often a token may end too soon: the current one, and those that others get.
const maxShort = 3

// Invalidate takes the token out of service, if rejected is still the current one: the next caller
// waits for a new one. Call it when Looker answered 401 to a request that did not go through a
// [Transport] of this package. It makes no call and does not block.
func (s *TokenSource) Invalidate(rejected *oauth2.Token) {
	if rejected != nil {
		ctx := context.Background()
		s.cache.lifecycle.invalidate(ctx, s.Identity(), rejected.AccessToken)
	}
}

// Logout removes the identity's token and logs it out at Looker. The result of a login under way is
// discarded: its token is logged out, too, and those who wait for it wait for another; with a Store
// they may find the discarded one there, for the moment until it is logged out. A login that has
// not had its turn keeps that, as its token will be a new one. The identity may be used again
// afterwards, which logs it in anew.
//
// It blocks until Looker has answered or ctx ends. An error is one around [ErrNoIdentity],
// [ErrInvalidIdentity], [ErrNoServiceAccount] or [ErrClosed], or that of the Store. If it is a
// [*CallError], the token may live until it expires, but nobody gets it from here any more, unless
// it could not be taken out of a Store either. To call Logout again tries that again.
func (s *TokenSource) Logout(ctx context.Context) error {
	if err := s.cache.validate(s.Identity()); err != nil {
		return err
	}
	return s.cache.lifecycle.logOut(ctx, s.Identity())
}
