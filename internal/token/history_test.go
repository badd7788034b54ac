package token

import (
	"runtime"
	"testing"
	"time"
	"weak"
)

const interval = 10 * time.Second

// invalidate takes the token out of service, which must have this effect.
func invalidate(t *testing.T, l *LRU, token *Token, now time.Duration, want bool) {
	t.Helper()
	got := l.Invalidate(token.Key(), token.OAuth().AccessToken, interval, at(now))
	if got != want {
		t.Errorf("Invalidate returned %v", got)
	}
}

func TestInvalidatedTokenIsNotServed(t *testing.T) {
	for _, key := range []Key{service(), user(1)} {
		l := NewLRU(1, 0)
		token := put(t, l, issue(key, 0))
		slot := l.Slot(key)
		invalidate(t, l, token, 0, true)
		if l.Fresh(slot, at(0)) != nil || l.Current(slot) != nil {
			t.Error("it is served")
		}
		if !token.Retired() || !token.Invalidated() || l.Last(key) != token {
			t.Error("it is not there to be replaced")
		}
		next := put(t, l, issue(key, 0))
		if token.Invalidated() || l.Current(slot) != next {
			t.Error("it was not replaced")
		}
	}
}

func TestOnlyTheCurrentTokenIsInvalidated(t *testing.T) {
	l := NewLRU(1, 0)
	never := issue(user(1), 0)
	invalidate(t, l, never, 0, false)
	replaced := put(t, l, issue(user(1), 0))
	token := put(t, l, issue(user(1), 0))
	invalidate(t, l, never, 0, false)
	invalidate(t, l, replaced, 0, false)
	if l.Invalidate(user(2), token.OAuth().AccessToken, interval, at(0)) {
		t.Error("a token was invalidated as another user's")
	}
	if token.Retired() {
		t.Error("the current token is not served")
	}
	invalidate(t, l, token, 0, true)
	invalidate(t, l, token, time.Hour, false) // a second time
	l.Remove(user(1), at(0))
	invalidate(t, l, token, time.Hour, false)
}

// A token that replaced an invalidated one a moment ago is not to blame.
func TestReplacementIsNotInvalidatedWithinTheInterval(t *testing.T) {
	const rejected = time.Minute
	for _, c := range []struct {
		sent, now time.Duration
		want      bool
	}{
		{rejected, rejected, false},
		{rejected, rejected + interval - 1, false},
		{rejected, rejected + interval, true},
		{rejected + 1, rejected + interval - 1, false},
		{rejected - 1, rejected, true}, // it was issued before, so it may be to blame
		{rejected, rejected - 1, true}, // the clock was set back: nobody knows how long ago it was
	} {
		l := NewLRU(1, 0)
		invalidate(t, l, put(t, l, issue(user(1), 0)), rejected, true)
		token := put(t, l, issue(user(1), c.sent))
		invalidate(t, l, token, c.now, c.want)
		if token.Retired() != c.want {
			t.Errorf("%+v: the token is retired: %v", c, token.Retired())
		}
	}
}

// What counts is when a token was last invalidated, not how many have replaced it since.
func TestIntervalIsInheritedByEveryReplacement(t *testing.T) {
	l := NewLRU(1, 0)
	invalidate(t, l, put(t, l, issue(user(1), 0)), 0, true)
	put(t, l, issue(user(1), 0))
	token := put(t, l, issue(user(1), 0))
	invalidate(t, l, token, interval-1, false)
	invalidate(t, l, token, interval, true)
	token = put(t, l, issue(user(1), interval))
	invalidate(t, l, token, 2*interval-1, false)
	invalidate(t, l, token, 2*interval, true)
}

func TestNoIntervalInvalidatesAtOnce(t *testing.T) {
	l := NewLRU(1, 0)
	for range 3 {
		token := put(t, l, issue(user(1), 0))
		if !l.Invalidate(user(1), token.OAuth().AccessToken, 0, at(0)) {
			t.Error("Invalidate returned false")
		}
	}
}

func TestIdentityThatCameBackHasNoPast(t *testing.T) {
	l := NewLRU(1, 0)
	invalidate(t, l, put(t, l, issue(user(1), 0)), 0, true)
	l.Remove(user(1), at(0))
	token := put(t, l, issue(user(1), 0))
	invalidate(t, l, token, 0, true)
	checkLeft(t, l.Remove(user(1), at(0)), user(1), Removed, token)
}

// leave are the ways in which user 1 leaves a full LRU of one.
var leave = map[Cause]func(l *LRU, now time.Duration) *Left{
	Removed: func(l *LRU, now time.Duration) *Left { return l.Remove(user(1), at(now)) },
	Evicted: func(l *LRU, now time.Duration) *Left {
		left, _ := l.Put(issue(user(2), now), at(now))
		return left
	},
}

func TestAllThatIsAliveLeavesWithItsIdentity(t *testing.T) {
	for why, leave := range leave {
		l := NewLRU(1, 0)
		replaced := put(t, l, issue(user(1), 0))
		rejected := put(t, l, issue(user(1), 0))
		invalidate(t, l, rejected, 0, true)
		last := put(t, l, issue(user(1), 0))
		checkLeft(t, leave(l, 0), user(1), why, replaced, rejected, last)
	}
}

// Who ends it has to know that it was rejected.
func TestInvalidatedTokenStaysSoAsItLeaves(t *testing.T) {
	for why, leave := range leave {
		l := NewLRU(1, 0)
		replaced := put(t, l, issue(user(1), 0))
		token := put(t, l, issue(user(1), 0))
		invalidate(t, l, token, 0, true)
		checkLeft(t, leave(l, 0), user(1), why, replaced, token)
		if !token.Invalidated() || !token.Retired() || replaced.Invalidated() {
			t.Error("the last one left otherwise than invalidated")
		}
	}
}

func TestDeadTokensAreNotEnded(t *testing.T) {
	const dead = time.Hour + time.Minute // since it was sent
	for why, leave := range leave {
		l := NewLRU(1, 0)
		put(t, l, issue(user(1), 0))
		second := put(t, l, issue(user(1), 1))
		last := put(t, l, issue(user(1), 2))
		checkLeft(t, leave(l, dead), user(1), why, second, last)

		l = NewLRU(1, 0)
		put(t, l, issue(user(1), 0))
		put(t, l, issue(user(1), 1))
		checkLeft(t, leave(l, dead+1), user(1), why)
	}
}

// Tokens live for different times, so one may die before those that it replaced.
func TestTokenThatDiesFirstLeavesThoseBeforeIt(t *testing.T) {
	l := NewLRU(1, 0)
	long := put(t, l, issue(user(1), 0))
	put(t, l, issueFor(user(1), 0, time.Second))
	checkLeft(t, l.Remove(user(1), at(2*time.Minute)), user(1), Removed, long)
}

func TestPastIsPrunedWhenATokenIsReplaced(t *testing.T) {
	l := NewLRU(1, 0)
	var last *Token
	for i := range 10 {
		last = put(t, l, issue(user(1), time.Duration(i)*40*time.Minute))
	}
	if n := len(last.history.alive); n != 1 {
		t.Errorf("it remembers %d tokens, want the one that is alive", n)
	}
}

func TestEmptyPastNeedsNoMemory(t *testing.T) {
	l := NewLRU(1, 0)
	token := put(t, l, issue(user(1), 0))
	if token.history != nil {
		t.Error("the first token has a past")
	}
	token = put(t, l, issue(user(1), 2*time.Hour))
	if token.history != nil {
		t.Error("a token that replaced a dead one has a past")
	}
	token = put(t, l, issue(user(1), 3*time.Hour))
	if token.history == nil {
		t.Error("a token that replaced a living one has no past")
	}
	token = put(t, l, issue(user(1), 6*time.Hour))
	if token.history != nil {
		t.Error("a token has a past in which all are dead")
	}
}

// A token is replaced before it expires, so each is in the past of the next. That must not keep
// them all.
func TestDeadTokensLeaveTheMemory(t *testing.T) {
	l := NewLRU(1, 0)
	var tokens []weak.Pointer[Token]
	for i := range 10 {
		token := put(t, l, issue(user(1), time.Duration(i)*50*time.Minute))
		tokens = append(tokens, weak.Make(token))
	}
	runtime.GC()
	for i, token := range tokens {
		if inUse := i >= 8; (token.Value() != nil) != inUse {
			t.Errorf("token %d of 0 to 9 is in memory: %v", i, !inUse)
		}
	}
	runtime.KeepAlive(l)
}

// Whoever keeps a Slot of an identity that has left keeps one token, and none before it.
func TestSlotThatIsKeptKeepsOneToken(t *testing.T) {
	l := NewLRU(1, 0)
	first := weak.Make(put(t, l, issue(user(1), 0)))
	put(t, l, issue(user(1), 50*time.Minute))
	slot := l.Slot(user(1))
	l.Remove(user(1), at(50*time.Minute))
	runtime.GC()
	if first.Value() != nil {
		t.Error("the token before is in memory")
	}
	runtime.KeepAlive(slot)
}
