package token

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

// Response is what a successful login answers, wherever it comes from: Looker, or a Store, in which
// it is JSON.
type Response struct {
	AccessToken string        `json:"access_token"`
	TokenType   string        `json:"token_type"`
	Sent        time.Time     `json:"sent"` // when the request was: the token's life starts here
	Life        time.Duration `json:"life"` // positive
}

// state is where a token is in its life. It only grows:
//
//	issued ──▶ current ──────────────────▶ ended
//	              └──────▶ invalidated ──────┘
type state uint8

const (
	issued      state = iota // not in an LRU yet
	current                  // served
	invalidated              // not served any more: in the LRU until another one replaces it
	ended                    // was replaced, or left the LRU, or was ended at Looker
)

// Token is one of Looker's tokens. Times are nanoseconds, since 1970 by the wall clock where they
// are points in time: monotonic time stops while a machine sleeps, and tokens age all the same.
// There may be a million of them, so nothing is held twice.
type Token struct {
	// What a look-up and every request read comes first, and fills one line of the processor's
	// cache, together with the AccessToken.

	slot Slot  // for those who look the identity up; holds this token
	sent int64 // when the login was sent, where the token's life starts

	// freshFor is how long after sent the token is served without another thought, in
	// milliseconds. It is 0 unless the token is current: a copy of it is then known to be out of
	// date.
	freshFor atomic.Uint32

	touched atomic.Uint32 // what LRU.added was when it was last moved to the front
	oauth   oauth2.Token  // its AccessToken is a part of header, not a copy

	header string // the Authorization header, as Looker documents it
	Taken  uint8  // tokens in a row from elsewhere; set before anybody else has it

	// What is below is guarded by the LRU's lock.
	state    state
	exported bool     // others have it, too
	history  *history // nil while there is none
}

// bearerExtra is shared by all tokens, as nearly all have this type.
var bearerExtra = map[string]any{"token_type": "Bearer"}

// New makes a token of this identity.
func New(key Key, r Response) *Token {
	extra := bearerExtra
	if r.TokenType != "Bearer" {
		extra = map[string]any{"token_type": r.TokenType}
	}
	header := "token " + r.AccessToken
	oauth := oauth2.Token{
		AccessToken: header[len(header)-len(r.AccessToken):],
		TokenType:   "token",
		Expiry:      r.Sent.Round(0).Add(r.Life),
	}
	t := &Token{
		oauth:  *oauth.WithExtra(extra),
		header: header,
		sent:   r.Sent.UnixNano(),
	}
	t.slot.init(key)
	t.slot.held.Store(t)
	return t
}

// Key returns whose token it is.
func (t *Token) Key() Key { return t.slot.Key() }

// OAuth returns the token as x/oauth2 has it. It is shared: nobody may write to it.
func (t *Token) OAuth() *oauth2.Token { return &t.oauth }

// Header returns the Authorization header.
func (t *Token) Header() string { return t.header }

// Response returns what the token was made of.
func (t *Token) Response() Response {
	tokenType, _ := t.oauth.Extra("token_type").(string)
	return Response{t.oauth.AccessToken, tokenType, time.Unix(0, t.sent).UTC(), t.life()}
}

func (t *Token) life() time.Duration { return time.Duration(t.oauth.Expiry.UnixNano() - t.sent) }

// Sent returns when the login was sent.
func (t *Token) Sent() int64 { return t.sent }

// Is reports whether this is the access token.
func (t *Token) Is(accessToken string) bool { return t.oauth.AccessToken == accessToken }

// Fresh reports whether t is served as it is. A token that was issued in the future is not, as its
// age is huge when unsigned: the clock was set back since then, and nobody knows the age.
func (t *Token) Fresh(now int64) bool {
	return uint64(now-t.sent) < uint64(t.freshFor.Load())*uint64(time.Millisecond)
}

// Expired reports whether t must not be served any more.
func (t *Token) Expired(now int64) bool { return now-t.sent >= int64(usable(t.life())) }

// MayLast reports whether tokens with this life are handed out for d: for nine tenths of it.
func (t *Token) MayLast(d time.Duration) bool { return d <= t.life()/10*9 }

// Lasts reports whether Looker will still accept t after d. Nobody knows that of a token that was
// issued in the future: the clock was set back since.
func (t *Token) Lasts(d time.Duration, now int64) bool {
	age := now - t.sent
	return age >= 0 && int64(t.life())-age >= int64(d)
}

// UsableUntil returns when t must not be served any more.
func (t *Token) UsableUntil() int64 { return t.sent + int64(usable(t.life())) }

// usable is how long a token may be served at all: until 10 s before its expiry, or for nine
// tenths of its life if that is shorter.
func usable(life time.Duration) time.Duration { return life - min(10*time.Second, life/10) }

// answerTime is longer than the answer to a login takes.
const answerTime = time.Minute

// dead reports whether Looker itself has let t expire by now. It counts from its answer, which
// came after the login was sent.
func (t *Token) dead(now int64) bool { return now >= t.oauth.Expiry.Add(answerTime).UnixNano() }

// freshFor is how long a token of this life is served before it ages. That begins refreshBefore
// before it stops being usable, but takes no more than a quarter of its life, and is spread at
// random over the first fifth of that time: tokens issued together are not refreshed together.
func freshFor(life, refreshBefore time.Duration) time.Duration {
	end := usable(life)
	window := min(refreshBefore, life/4)
	return end - window + rand.N(window/5+1)
}

// Retired reports whether t is not served, be it that it is not yet.
func (t *Token) Retired() bool { return t.freshFor.Load() == 0 }

// Invalidated reports whether t was invalidated, and no other one has replaced it. It may be asked
// once t has left its LRU.
func (t *Token) Invalidated() bool { return t.state == invalidated }

// Exported reports whether others have t, too. It may be asked once t has left its LRU.
func (t *Token) Exported() bool { return t.exported }

// retire makes every copy of t out of date. The lock of the LRU is held.
func (t *Token) retire(to state) {
	t.freshFor.Store(0)
	t.state = to
}
