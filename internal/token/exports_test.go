package token

import (
	"testing"
	"time"
)

func export(t *testing.T, l *LRU, token *Token, now time.Duration) {
	t.Helper()
	if !l.Export(token.Key(), token.OAuth().AccessToken, at(now)) {
		t.Errorf("%v is not exported", token.Key())
	}
}

func TestOnlyTheCurrentTokenIsExported(t *testing.T) {
	l := NewLRU(1, 0)
	replaced := put(t, l, issue(user(1), 0))
	token := put(t, l, issue(user(1), 0))
	if l.Export(user(1), replaced.OAuth().AccessToken, at(0)) || replaced.Exported() {
		t.Error("one that was replaced is exported")
	}
	if l.Export(user(2), token.OAuth().AccessToken, at(0)) || token.Exported() {
		t.Error("one is exported as another user's")
	}
	invalidate(t, l, token, true)
	if l.Export(user(1), token.OAuth().AccessToken, at(0)) || token.Exported() {
		t.Error("one that was invalidated is exported")
	}
}

func TestExportedTokensLeaveOnlyOnRequest(t *testing.T) {
	l := NewLRU(1, 0)
	first := put(t, l, issue(user(1), 0))
	export(t, l, first, 0)
	export(t, l, first, 0)
	second := put(t, l, issue(user(1), 1))
	third := put(t, l, issue(user(1), 2))
	export(t, l, third, 0)
	left, _ := l.Put(issue(user(2), 0), at(0))
	checkLeft(t, left, user(1), Evicted, second, third)
	if !third.Exported() || second.Exported() {
		t.Error("what left does not say what is exported")
	}
	checkLeft(t, l.Remove(user(1), at(0)), user(1), Removed, first, third)
	if left := l.Remove(user(1), at(0)); left != nil {
		t.Errorf("%v left twice", left)
	}
}

// Whoever gets users' tokens may get one that is alive once more.
func TestSameTokenAgainIsTheSame(t *testing.T) {
	again := func(of *Token, life time.Duration) *Token {
		return New(of.Key(), Response{of.OAuth().AccessToken, "Bearer", start, life})
	}
	l := NewLRU(1, 0)
	token := put(t, l, issue(user(1), 0))
	same := put(t, l, again(token, time.Minute))
	checkLeft(t, l.Remove(user(1), at(0)), user(1), Removed, same)

	export(t, l, put(t, l, again(token, time.Hour)), 0)
	same = put(t, l, again(token, time.Minute))
	if !same.Exported() {
		t.Error("it is not exported any more")
	}
	if _, ok := l.Put(issue(user(2), 0), at(0)); !ok {
		t.Fatal("Put refused a new token")
	}
	if same = again(token, time.Hour); same.Exported() {
		t.Error("it is exported before it is put")
	}
	l.Remove(user(2), at(0))
	if put(t, l, same); !same.Exported() {
		t.Error("it is not exported any more after an eviction")
	}
	checkLeft(t, l.Remove(user(1), at(0)), user(1), Removed, same)
}

func TestExportedTokensAreForgottenAsTheyExpire(t *testing.T) {
	const users = 1000
	l := NewLRU(1, 0)
	for i := range users {
		token := issue(user(i), 0)
		l.Put(token, at(0))
		export(t, l, token, 0)
	}
	if n := len(l.Keys()); n != users {
		t.Fatalf("%d identities are there", n)
	}
	const later = 2 * time.Hour
	for range users + 1 {
		l.Put(issue(user(0), later), at(later))
	}
	if l.exports.alive != nil {
		t.Errorf("%d identities' exported tokens are there", len(l.exports.alive))
	}
	if n := len(l.Keys()); n != 1 {
		t.Errorf("%d identities are there", n)
	}
}

// One that is used all the time, and of which each token is exported, has few that are alive.
func TestExportedTokensOfOneIdentityAreForgottenAsTheyExpire(t *testing.T) {
	l := NewLRU(1, 0)
	for i := range 100 {
		now := time.Duration(i) * 40 * time.Minute
		export(t, l, put(t, l, issue(user(1), now)), now)
	}
	if n := len(l.exports.alive[user(1)]); n > 2 {
		t.Errorf("%d exported tokens are there", n)
	}
}

func TestKeysAreOfAllThatThereIs(t *testing.T) {
	l := NewLRU(2, 0)
	fill(t, l, 2)
	export(t, l, l.Last(user(0)), 0)
	export(t, l, l.Last(user(1)), 0)
	l.Put(issue(user(2), 0), at(0))
	put(t, l, issue(service(), 0))
	keys := l.Keys()
	if len(keys) != 4 || keys[0] != service() || keys[3] != user(0) {
		t.Errorf("got %v", keys)
	}
}
