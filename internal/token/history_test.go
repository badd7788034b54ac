package token

import (
	"runtime"
	"testing"
	"time"
	"weak"
)

// reject rejects the token, which must have this effect.
func reject(t *testing.T, l *LRU, token *Token, now time.Duration, want bool) {
	t.Helper()
	if got := l.Reject(token.Key(), token.OAuth().AccessToken, at(now)); got != want {
		t.Errorf("Reject returned %v", got)
	}
}

// invalidate takes the token out of service, which must have this effect.
func invalidate(t *testing.T, l *LRU, token *Token, want bool) {
	t.Helper()
	if got := l.Invalidate(token.Key(), token.OAuth().AccessToken); got != want {
		t.Errorf("Invalidate returned %v", got)
	}
}

func TestInvalidatedTokenIsNotServed(t *testing.T) {
	for _, key := range []Key{service(), user(1)} {
		l := NewLRU(1, 0)
		token := put(t, l, issue(key, 0))
		slot := l.Slot(key)
		invalidate(t, l, token, true)
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
	invalidate(t, l, never, false)
	replaced := put(t, l, issue(user(1), 0))
	token := put(t, l, issue(user(1), 0))
	invalidate(t, l, never, false)
	invalidate(t, l, replaced, false)
	if l.Invalidate(user(2), token.OAuth().AccessToken) {
		t.Error("a token was invalidated as another user's")
	}
	if token.Retired() {
		t.Error("the current token is not served")
	}
	invalidate(t, l, token, true)
	invalidate(t, l, token, false) // a second time
	l.Remove(user(1), at(0))
	invalidate(t, l, token, false)
}

// Whatever rejects the replacement of a rejected token, too, will hardly take the next.
func TestReplacementThatIsRejectedIsReplacedLater(t *testing.T) {
	const rejected = time.Minute
	for _, c := range []struct {
		sent, now time.Duration
		want      bool
	}{
		{rejected, rejected, false},
		{rejected, rejected + minWait - 1, false},
		{rejected, rejected + minWait, true},
		{rejected + 1, rejected + minWait - 1, false},
		{rejected - 1, rejected, true}, // it was issued before, so it may be to blame
		{rejected, rejected - 1, true}, // the clock was set back: nobody knows how long ago it was
	} {
		l := NewLRU(1, 0)
		reject(t, l, put(t, l, issue(user(1), 0)), rejected, true)
		token := put(t, l, issue(user(1), c.sent))
		reject(t, l, token, c.now, c.want)
		if token.Retired() != c.want {
			t.Errorf("%+v: the token is retired: %v", c, token.Retired())
		}
	}
}

// However many requests are rejected, the wait doubles with each replacement, up to ten minutes.
func TestWaitDoublesOnceForEachReplacement(t *testing.T) {
	l := NewLRU(1, 0)
	var now time.Duration
	reject(t, l, put(t, l, issue(user(1), now)), now, true)
	for _, wait := range []time.Duration{10, 20, 40, 80, 160, 320, 600, 600} {
		put(t, l, issue(user(1), now)) // a refresh is no way around it
		token := put(t, l, issue(user(1), now))
		for range 3 {
			reject(t, l, token, now, false)
		}
		reject(t, l, token, now+wait*time.Second-1, false)
		now += wait * time.Second
		reject(t, l, token, now, true)
	}
}

func TestRejectionAfterOneThatWasMendedIsTheFirst(t *testing.T) {
	mend := map[string]func(*LRU, *Token){
		"accepted":    func(l *LRU, t *Token) { l.Accept(t.Key(), t.OAuth().AccessToken) },
		"invalidated": func(l *LRU, t *Token) { l.Invalidate(t.Key(), t.OAuth().AccessToken) },
		"removed":     func(l *LRU, t *Token) { l.Remove(t.Key(), at(0)) },
	}
	for name, mend := range mend {
		l := NewLRU(1, 0)
		reject(t, l, put(t, l, issue(user(1), 0)), 0, true)
		token := put(t, l, issue(user(1), 0))
		reject(t, l, token, 0, false)
		mend(l, token)
		token = put(t, l, issue(user(1), 0))
		reject(t, l, token, 0, true)
		token = put(t, l, issue(user(1), 0))
		reject(t, l, token, minWait-1, false)
		reject(t, l, token, minWait, true)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestOnlyTheCurrentTokenIsAccepted(t *testing.T) {
	l := NewLRU(1, 0)
	first := put(t, l, issue(user(1), 0))
	reject(t, l, first, 0, true)
	l.Accept(user(1), first.OAuth().AccessToken)
	l.Accept(user(2), first.OAuth().AccessToken)
	reject(t, l, put(t, l, issue(user(1), 0)), 0, false)
}

// Whoever ended it, it must not be ended once more.
func TestTokenThatHasEndedAtLookerIsNotServedAndNotEnded(t *testing.T) {
	for why, leave := range leave {
		l := NewLRU(1, 0)
		before := put(t, l, issue(user(1), 0))
		token := put(t, l, issue(user(1), 0))
		if !l.End(user(1), token.OAuth().AccessToken) {
			t.Error("End returned false")
		}
		if l.End(user(1), token.OAuth().AccessToken) || token.Invalidated() ||
			l.Current(l.Slot(user(1))) != nil || l.Fresh(l.Slot(user(1)), at(0)) != nil {
			t.Error("it is served")
		}
		checkLeft(t, leave(l, 0), user(1), why, before)

		l = NewLRU(1, 0)
		token = put(t, l, issue(user(1), 0))
		l.End(user(1), token.OAuth().AccessToken)
		next := put(t, l, issue(user(1), 0))
		reject(t, l, next, 0, true) // that was no rejection
		checkLeft(t, leave(l, 0), user(1), why, next)
	}
}

func TestIdentityThatCameBackHasNoPast(t *testing.T) {
	l := NewLRU(1, 0)
	invalidate(t, l, put(t, l, issue(user(1), 0)), true)
	l.Remove(user(1), at(0))
	token := put(t, l, issue(user(1), 0))
	invalidate(t, l, token, true)
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
		invalidate(t, l, rejected, true)
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
		invalidate(t, l, token, true)
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
