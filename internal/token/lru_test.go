package token

import (
	"slices"
	"testing"
	"time"
)

// fill gives each of n users a token, and returns the tokens.
func fill(t *testing.T, l *LRU, n int) (tokens []*Token) {
	t.Helper()
	for i := range n {
		tokens = append(tokens, put(t, l, issue(user(i), 0)))
	}
	return tokens
}

// checkLeft compares what left an LRU.
func checkLeft(t *testing.T, left *Left, key Key, why Cause, tokens ...*Token) {
	t.Helper()
	if left == nil {
		t.Errorf("nothing left, want %v", key)
		return
	}
	if left.Key != key || left.Why != why || !slices.Equal(left.Tokens, tokens) {
		t.Errorf("%v left (%d) with %v, want %v (%d) with %v",
			left.Key, left.Why, names(left.Tokens), key, why, names(tokens))
	}
}

func names(tokens []*Token) (names []string) {
	for _, t := range tokens {
		names = append(names, t.OAuth().AccessToken)
	}
	return names
}

func TestUserNotUsedForLongestIsEvicted(t *testing.T) {
	l := NewLRU(3, 0)
	tokens := fill(t, l, 3)
	l.Current(l.Slot(user(0)))
	l.Last(user(1))
	for i, oldest := range []int{2, 0, 1} {
		left, ok := l.Put(issue(user(3+i), 0), at(0))
		if !ok {
			t.Error("Put refused a new token")
		}
		checkLeft(t, left, user(oldest), Evicted, tokens[oldest])
		if !tokens[oldest].Retired() || tokens[oldest].Invalidated() {
			t.Error("the evicted token is served, or counts as invalidated")
		}
		if l.Last(user(oldest)) != nil {
			t.Error("the evicted user is still there")
		}
		if n := l.Len(); n != 3 {
			t.Errorf("%d users have a token, want 3", n)
		}
	}
}

func TestReplacingTokenMovesItsUserToTheFront(t *testing.T) {
	l := NewLRU(2, 0)
	tokens := fill(t, l, 2)
	put(t, l, issue(user(0), 0))
	left, _ := l.Put(issue(user(2), 0), at(0))
	checkLeft(t, left, user(1), Evicted, tokens[1])
}

func TestPuttingCurrentTokenAgainMovesItsUserToTheFront(t *testing.T) {
	l := NewLRU(2, 0)
	tokens := fill(t, l, 2)
	age := tokens[0].freshFor.Load()
	put(t, l, tokens[0])
	if tokens[0].freshFor.Load() != age || l.Len() != 2 || tokens[0].history != nil {
		t.Error("the token is another one")
	}
	left, _ := l.Put(issue(user(2), 0), at(0))
	checkLeft(t, left, user(1), Evicted, tokens[1])
}

func TestServiceAccountIsNeitherEvictedNorCounted(t *testing.T) {
	l := NewLRU(1, 0)
	for range 2 {
		token := put(t, l, issue(service(), 0))
		if n := l.Len(); n != 0 {
			t.Errorf("%d users have a token, want none", n)
		}
		tokens := fill(t, l, 1)
		left, _ := l.Put(issue(user(1), 0), at(0))
		checkLeft(t, left, user(0), Evicted, tokens[0])
		if l.Last(service()) != token || !token.Fresh(at(0)) {
			t.Error("the service account was evicted")
		}
		l.Close(at(0))
	}
}

// Moving a user to the front takes a lock, so it is done again only after a sixteenth of the users
// have been replaced.
func TestUserIsRecentForASixteenthOfTheUsers(t *testing.T) {
	for size, others := range map[int]int{1: 0, 2: 0, 16: 0, 17: 1, 32: 1, 33: 2, 160: 9} {
		l := NewLRU(size, 0)
		slot := l.Slot(user(0))
		slot.Hold(put(t, l, issue(user(0), 0)))
		for i := range others {
			put(t, l, issue(user(1+i), 0))
			put(t, l, issue(user(1+i), 0)) // takes nobody in
			put(t, l, issue(service(), 0)) // nor does this
		}
		if l.Fresh(slot, at(0)) == nil {
			t.Errorf("of %d users, %d were replaced: it has to be moved", size, others)
		}
		if size == 1 {
			continue
		}
		put(t, l, issue(user(1+others), 0))
		if l.Fresh(slot, at(0)) != nil {
			t.Errorf("of %d users, %d were replaced: it is not moved", size, others+1)
		}
		if l.Current(slot) == nil || l.Fresh(slot, at(0)) == nil {
			t.Errorf("of %d users: it has to be moved twice", size)
		}
	}
}

func TestUserInUseIsNotEvicted(t *testing.T) {
	const size = 40
	l := NewLRU(size, 0)
	slot := l.Slot(user(0))
	slot.Hold(put(t, l, issue(user(0), 0)))
	for i := range 10 * size {
		if left, _ := l.Put(issue(user(1+i), 0), at(0)); left != nil && left.Key == user(0) {
			t.Fatalf("it was evicted after %d others were taken in", i)
		}
		if l.Fresh(slot, at(0)) == nil && l.Current(slot) == nil {
			t.Fatal("it is not there any more")
		}
	}
}

func TestCurrentTokenMayBeAgingOrExpired(t *testing.T) {
	l := NewLRU(1, time.Minute)
	token := put(t, l, issue(user(1), 0))
	slot := l.Slot(user(1))
	for _, now := range []time.Duration{-1, time.Hour - 15*time.Second, 2 * time.Hour} {
		if l.Fresh(slot, at(now)) != nil {
			t.Errorf("it is fresh after %v", now)
		}
		if l.Current(slot) != token {
			t.Errorf("it is not current after %v", now)
		}
	}
}

func TestPutRefusesWhatWasThereBefore(t *testing.T) {
	for how, leave := range map[string]func(l *LRU, found *Token){
		"invalidated": func(l *LRU, found *Token) {
			l.Invalidate(found.Key(), found.OAuth().AccessToken)
		},
		"replaced": func(l *LRU, found *Token) { l.Put(issue(found.Key(), 0), at(0)) },
		"invalidated and replaced": func(l *LRU, found *Token) {
			l.Invalidate(found.Key(), found.OAuth().AccessToken)
			l.Put(issue(found.Key(), 0), at(0))
		},
		"evicted":     func(l *LRU, _ *Token) { l.Put(issue(user(2), 0), at(0)) },
		"removed":     func(l *LRU, found *Token) { l.Remove(found.Key(), at(0)) },
		"all removed": func(l *LRU, _ *Token) { l.Close(at(0)) },
	} {
		l := NewLRU(1, 0)
		found := put(t, l, issue(user(1), 0))
		leave(l, found)
		users, there := l.Len(), l.Last(user(1))
		if left, ok := l.Put(found, at(0)); ok || left != nil {
			t.Errorf("%s: Put returned %v, %v", how, left, ok)
		}
		if l.Len() != users || l.Last(user(1)) != there || !found.Retired() {
			t.Errorf("%s: Put changed something", how)
		}
	}
}

func TestRemovedIdentityIsOut(t *testing.T) {
	for _, key := range []Key{service(), user(1)} {
		l := NewLRU(2, 0)
		other := put(t, l, issue(user(2), 0))
		if left := l.Remove(key, at(0)); left != nil {
			t.Errorf("%v left before it came", left)
		}
		token := put(t, l, issue(key, 0))
		slot := l.Slot(key)
		checkLeft(t, l.Remove(key, at(0)), key, Removed, token)
		if l.Fresh(slot, at(0)) != nil || l.Current(slot) != nil || l.Last(key) != nil {
			t.Errorf("%v is still there", key)
		}
		if left := l.Remove(key, at(0)); left != nil {
			t.Errorf("%v left twice", left)
		}
		if l.Last(user(2)) != other || l.Len() != 1 {
			t.Error("another user left, too")
		}
		put(t, l, issue(key, 0)) // there is room for it
	}
}

func TestCloseTakesAllOutTheServiceAccountFirst(t *testing.T) {
	l := NewLRU(3, 0)
	if left := l.Close(at(0)); len(left) != 0 {
		t.Errorf("%v left an empty LRU", left)
	}
	account, tokens := put(t, l, issue(service(), 0)), fill(t, l, 3)
	left := l.Close(at(0))
	if len(left) != 4 || l.Len() != 0 {
		t.Fatalf("%d identities left, and %d users are still there", len(left), l.Len())
	}
	checkLeft(t, left[0], service(), Closed, account)
	left = left[1:]
	slices.SortFunc(left, func(a, b *Left) int { return int(a.Key.ID[0]) - int(b.Key.ID[0]) })
	for i := range tokens {
		checkLeft(t, left[i], user(i), Closed, tokens[i])
		if l.Last(user(i)) != nil || !tokens[i].Retired() {
			t.Errorf("%v is still there", user(i))
		}
	}
	if l.Last(service()) != nil || !account.Retired() {
		t.Error("the service account is still there")
	}
}

func TestLRUOfNobodyPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it was made")
		}
	}()
	NewLRU(0, 0)
}

func TestLeftSaysWhetherTheTokenCouldBeServed(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(l *LRU, one *Token)
		at      time.Duration
		want    bool
	}{
		"served":   {func(*LRU, *Token) {}, 0, true},
		"aging":    {func(*LRU, *Token) {}, 59 * time.Minute, true},
		"unusable": {func(*LRU, *Token) {}, time.Hour - 10*time.Second, false},
		"invalidated": {func(l *LRU, one *Token) {
			l.Invalidate(one.Key(), one.OAuth().AccessToken)
		}, 0, false},
		"ended": {func(l *LRU, one *Token) {
			l.End(one.Key(), one.OAuth().AccessToken)
		}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLRU(1, 0)
			test.happens(l, fill(t, l, 1)[0])
			if left := l.Remove(user(0), at(test.at)); left.Usable != test.want {
				t.Errorf("usable: %t, want %t", left.Usable, test.want)
			}
		})
	}
}

func TestUsableForIsTheRestOfTheLifeAndNoUse(t *testing.T) {
	l := NewLRU(2, 0)
	if d := l.UsableFor(user(0), at(0)); d != 0 {
		t.Errorf("none is usable for %v", d)
	}
	tokens := fill(t, l, 2)
	for when, want := range map[time.Duration]time.Duration{
		0:                          time.Hour - 10*time.Second,
		time.Minute:                time.Hour - 10*time.Second - time.Minute,
		time.Hour - 10*time.Second: 0,
		48 * time.Hour:             0,
		-48 * time.Hour:            time.Hour - 10*time.Second, // the clock was set back
	} {
		if d := l.UsableFor(user(0), at(when)); d != want {
			t.Errorf("after %v it is usable for %v, want %v", when, d, want)
		}
	}
	left, _ := l.Put(issue(user(2), 0), at(0))
	checkLeft(t, left, user(0), Evicted, tokens[0]) // though it was looked at last
	invalidate(t, l, tokens[1], true)
	if d := l.UsableFor(user(1), at(0)); d != 0 {
		t.Errorf("an invalidated one is usable for %v", d)
	}
	if n := l.Size(); n != 2 {
		t.Errorf("there is room for %d, want 2", n)
	}
}
