package token

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// start is when the tests' time begins.
var start = time.Date(2026, time.January, 2, 3, 4, 5, 6, time.UTC)

// at is this long after start.
func at(d time.Duration) int64 { return start.Add(d).UnixNano() }

func user(i int) Key { return Key{strconv.Itoa(i), User} }

func service() Key { return Key{Kind: ServiceAccount} }

// serial makes the name of every token another one.
var serial atomic.Int64

// issue makes a token of this identity that lives for an hour from then on.
func issue(key Key, sent time.Duration) *Token { return issueFor(key, sent, time.Hour) }

func issueFor(key Key, sent, life time.Duration) *Token {
	name := fmt.Sprintf("%v#%d", key, serial.Add(1))
	return New(key, Response{name, "Bearer", start.Add(sent), life})
}

// put makes the token its identity's, which must neither be refused nor evict anybody. It returns
// the token.
func put(t *testing.T, l *LRU, token *Token) *Token {
	t.Helper()
	left, ok := l.Put(token, token.Sent())
	if !ok || left != nil {
		t.Errorf("Put returned %v, %v for %v", left, ok, token.Key())
	}
	return token
}

func TestTokenIsInItsHeaderAndAsOAuth(t *testing.T) {
	token := New(user(789), Response{"secret", "Bearer", start, time.Hour})
	if got := token.Header(); got != "token secret" {
		t.Errorf("the header is %q", got)
	}
	o := token.OAuth()
	if o.AccessToken != "secret" || o.Type() != "token" || o.RefreshToken != "" {
		t.Errorf("as OAuth it is %+v", o)
	}
	if got := o.Extra("token_type"); got != "Bearer" {
		t.Errorf("Looker's type is %v, want Bearer", got)
	}
	if want := start.Add(time.Hour); !o.Expiry.Equal(want) {
		t.Errorf("it expires at %v, want %v", o.Expiry, want)
	}
	if !token.Is("secret") || token.Is("Secret") || token.Is("") {
		t.Error("Is does not know the access token")
	}
	if token.Key() != user(789) || token.Sent() != start.UnixNano() {
		t.Errorf("it is %v's, sent at %d", token.Key(), token.Sent())
	}
}

func TestAccessTokenIsHeldOnce(t *testing.T) {
	token := issue(user(1), 0)
	inHeader := unsafe.StringData(token.Header()[len("token "):])
	if unsafe.StringData(token.OAuth().AccessToken) != inHeader {
		t.Error("the access token is not a part of the header")
	}
}

// Looker calls nearly all tokens that, and there may be a million.
func TestTypeBearerNeedsNoMemory(t *testing.T) {
	allocations := func(tokenType string) float64 {
		r := Response{"secret", tokenType, start, time.Hour}
		return testing.AllocsPerRun(100, func() { New(user(1), r) })
	}
	if bearer, other := allocations("Bearer"), allocations("bearer"); bearer >= other {
		t.Errorf("a token costs %v allocations, and %v if its type is another one", bearer, other)
	}
}

func TestResponseIsWhatTheTokenWasMadeOf(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	for _, r := range []Response{
		{"secret", "Bearer", start, time.Hour},
		{"secret", "bearer", start, time.Hour},
		{"secret", "", start.In(berlin), time.Nanosecond},
		{`"<&>`, "Bearer", time.Unix(-1, 999).UTC(), 24 * time.Hour},
	} {
		got := New(user(1), r).Response()
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var read Response
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		r.Sent = r.Sent.UTC()
		if got != r {
			t.Errorf("the response is %+v, want %+v", got, r)
		}
		if read != r || New(user(1), read).Response() != r {
			t.Errorf("through JSON the response is %+v, want %+v", read, r)
		}
	}
}

// Processes of several versions may share a Store.
func TestResponseInJSONStaysAsItIs(t *testing.T) {
	text, err := json.Marshal(Response{"secret", "Bearer", start, time.Hour})
	const want = `{"access_token":"secret","token_type":"Bearer",` +
		`"sent":"2026-01-02T03:04:05.000000006Z","life":3600000000000}`
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
}

func TestExpiryHasNoMonotonicTime(t *testing.T) {
	now := time.Now()
	if !strings.Contains(now.String(), "m=") {
		t.Skip("this time has none to begin with")
	}
	token := New(user(1), Response{"secret", "Bearer", now, time.Hour})
	for _, at := range []time.Time{token.OAuth().Expiry, token.Response().Sent} {
		if strings.Contains(at.String(), "m=") {
			t.Errorf("%v has monotonic time", at)
		}
	}
	if got := token.OAuth().Expiry.UnixNano() - now.UnixNano(); got != int64(time.Hour) {
		t.Errorf("it expires %v after it was sent", time.Duration(got))
	}
}

func TestTokenIsServedUntilShortlyBeforeItsExpiry(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{
		24 * time.Hour:    24*time.Hour - 10*time.Second,
		time.Hour:         time.Hour - 10*time.Second,
		101 * time.Second: 91 * time.Second,
		100 * time.Second: 90 * time.Second,
		50 * time.Second:  45 * time.Second,
		time.Second:       900 * time.Millisecond,
		9:                 9,
		1:                 1,
	} {
		token := issueFor(user(1), 0, life)
		if token.Expired(at(want - 1)) {
			t.Errorf("a life of %v: expired before %v", life, want)
		}
		if !token.Expired(at(want)) {
			t.Errorf("a life of %v: not expired after %v", life, want)
		}
	}
}

func TestTokenIsNotFreshBeforeItIsCurrent(t *testing.T) {
	token := issue(user(1), 0)
	if token.Fresh(at(0)) || token.Fresh(at(time.Minute)) || !token.Retired() {
		t.Error("a token is served that was not put into an LRU")
	}
	put(t, NewLRU(1, 0), token)
	if !token.Fresh(at(0)) || token.Retired() || token.Invalidated() {
		t.Error("the current token is not served")
	}
}

func TestTokenIsFreshUntilItAges(t *testing.T) {
	for range 100 {
		l := NewLRU(1, time.Minute)
		token := put(t, l, issue(user(1), 0))
		age := time.Duration(token.freshFor.Load()) * time.Millisecond
		if !token.Fresh(at(0)) || !token.Fresh(at(age-1)) || token.Fresh(at(age)) {
			t.Fatalf("it is not fresh for %v", age)
		}
		usable := time.Hour - 10*time.Second
		if age < usable-time.Minute-time.Millisecond || age > usable-time.Minute+12*time.Second {
			t.Fatalf("it ages after %v", age)
		}
	}
}

// The clock was set back since, and nobody knows how old the token is.
func TestTokenFromTheFutureIsNotFresh(t *testing.T) {
	l := NewLRU(1, 0)
	token := put(t, l, issue(user(1), time.Minute))
	for _, now := range []time.Duration{0, time.Minute - 1} {
		if token.Fresh(at(now)) {
			t.Errorf("it is fresh %v before it was sent", time.Minute-now)
		}
		if token.Expired(at(now)) {
			t.Errorf("it has expired %v before it was sent", time.Minute-now)
		}
	}
	if !token.Fresh(at(time.Minute)) {
		t.Error("it is not fresh when it was sent")
	}
}

func TestTokensAgeAtRandomInTheFirstFifthOfTheWindow(t *testing.T) {
	for _, c := range []struct{ life, refreshBefore, first, last time.Duration }{
		{1000, 10, 890, 892},                   // a window of 10, that is what it was set to
		{1000, 4, 896, 896},                    // a fifth of it is nothing
		{1000, 0, 900, 900},                    // tokens do not age
		{40, 100, 26, 28},                      // no more than a quarter of its life
		{40, 10, 26, 28},                       // just that
		{1, time.Hour, 1, 1},                   // the shortest life
		{time.Hour, 5, 3590e9 - 5, 3590e9 - 4}, // 10 s before its expiry is the end
	} {
		got := make(map[time.Duration]bool)
		for range 1000 {
			got[freshFor(c.life, c.refreshBefore)] = true
		}
		for age := range got {
			if age < c.first || age > c.last {
				t.Errorf("%+v: it ages after %d", c, age)
			}
		}
		if len(got) != int(c.last-c.first)+1 {
			t.Errorf("%+v: it ages at %d different times", c, len(got))
		}
	}
}

func TestTokenIsDeadOnceLookerHasLetItExpire(t *testing.T) {
	token := issue(user(1), 0)
	if token.dead(at(time.Hour + time.Minute - 1)) {
		t.Error("it is dead although Looker may have issued it a little later")
	}
	if !token.dead(at(time.Hour + time.Minute)) {
		t.Error("it is not dead although Looker has let it expire")
	}
}

// A look-up waits for as many lines of memory as it reads; there is room for a million tokens.
func TestHotFieldsOfATokenFillOneLineOfTheProcessorsCache(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("lines and pointers are of other sizes here")
	}
	const line = 64
	var token Token
	if n := unsafe.Sizeof(token); n <= 176 || n > 192 {
		t.Errorf("a token has %d bytes, for which there is no room of three lines", n)
	}
	for name, end := range map[string]uintptr{
		"slot":     unsafe.Offsetof(token.slot) + unsafe.Sizeof(token.slot),
		"sent":     unsafe.Offsetof(token.sent) + unsafe.Sizeof(token.sent),
		"freshFor": unsafe.Offsetof(token.freshFor) + unsafe.Sizeof(token.freshFor),
		"touched":  unsafe.Offsetof(token.touched) + unsafe.Sizeof(token.touched),
		"token":    unsafe.Offsetof(token.oauth) + unsafe.Sizeof(token.oauth.AccessToken),
	} {
		if end > line {
			t.Errorf("%s ends at byte %d", name, end)
		}
	}
}
