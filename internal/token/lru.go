package token

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// LRU holds the current token of the service account, and those of the users that were used last.
// It is safe for concurrent use.
type LRU struct {
	refreshBefore time.Duration
	size          int
	tokens        *index

	// added counts the users that were taken in. It is the clock by which recency is measured, as
	// only a user who comes in can push another one out. That it starts anew after four billion
	// does not matter: nobody stays that long without being touched.
	added atomic.Uint32

	mu    sync.Mutex                       // guards changes, and look-ups that must not miss
	order *simplelru.LRU[*Token, struct{}] // the users' tokens, by when they were last used

	exports exports // whatever has become of their identities
}

// NewLRU makes an LRU for this many users, at least one. A token ages refreshBefore before it stops
// being usable, but no more than a quarter of its life.
func NewLRU(size int, refreshBefore time.Duration) *LRU {
	order, err := simplelru.NewLRU[*Token, struct{}](size, nil)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &LRU{refreshBefore: refreshBefore, size: size, tokens: newIndex(), order: order}
}

// Size returns for how many users there is room.
func (l *LRU) Size() int { return l.size }

// Len returns how many users have a token, usable or not.
func (l *LRU) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.order.Len()
}

// Slot returns a Slot for the key. It takes no lock; it costs an allocation if there is no token.
func (l *LRU) Slot(key Key) *Slot {
	if t := l.tokens.get(key); t != nil {
		return &t.slot
	}
	return newSlot(key)
}

// Fresh returns the Slot's token if it may be served as it is; nil if it has to be asked for with
// Current. It takes no lock and costs no allocation.
func (l *LRU) Fresh(s *Slot, now int64) *Token {
	if t := s.held.Load(); t != nil && t.Fresh(now) && l.isRecent(t) {
		return t
	}
	return nil
}

// isRecent reports whether t is as good as at the front. Moving it there takes a lock, so it is
// done again only after a sixteenth of the users have been replaced. Two users are therefore in the
// wrong order only if fewer than size/16 others, rounded up, were taken in between their last uses.
func (l *LRU) isRecent(t *Token) bool {
	return l.added.Load()-t.touched.Load() <= uint32(l.size-1)/16
}

// Current returns the token of the Slot's identity, be it aging or expired, moves it to the front,
// and keeps it in the Slot. It is nil if there is none that was not invalidated.
func (l *LRU) Current(s *Slot) *Token {
	t := l.Last(s.Key())
	if t == nil || t.Retired() {
		return nil
	}
	s.held.Store(t)
	return t
}

// Last returns the token of this identity, be it invalidated, and moves it to the front; nil if
// there is none.
func (l *LRU) Last(key Key) *Token {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens.get(key)
	if t != nil {
		l.touch(t)
	}
	return t
}

// UsableFor returns for how long the identity's token may be served yet; 0 if there is none that
// may. It counts as no use of it.
func (l *LRU) UsableFor(key Key, now int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens.get(key)
	if t == nil || t.state != current || t.Expired(now) {
		return 0
	}
	return min(time.Duration(t.UsableUntil()-now), usable(t.life()))
}

// touch moves t to the front. mu is held.
func (l *LRU) touch(t *Token) {
	t.touched.Store(l.added.Load())
	if t.slot.kind != ServiceAccount { // which is never evicted
		l.order.Add(t, struct{}{})
	}
}

// Put makes t the token of its identity, in place of the one before, and evicts the user that was
// not used for the longest time if that is one too many. Then left is what has to be ended.
//
// It refuses a t that was in here before: somebody else has invalidated or replaced it, or it
// has left, and whoever did that has seen to its end.
func (l *LRU) Put(t *Token, now int64) (left *Left, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.state > current {
		return nil, false
	}
	last := l.tokens.get(t.Key())
	if last == t {
		l.touch(t)
		return nil, true
	}
	switch {
	case last != nil:
		l.replace(last, t, now)
	case t.slot.kind != ServiceAccount:
		left = l.evict(now)
		l.added.Add(1)
	}
	t.state = current
	if t.exported = l.exports.has(t); t.exported {
		l.exports.add(t, now) // it may live for longer than was known
	}
	l.exports.pass(now)
	fresh := freshFor(t.life(), l.refreshBefore)
	t.freshFor.Store(max(uint32(fresh/time.Millisecond), 1))
	l.tokens.put(t)
	l.touch(t)
	return left, true
}

// replace ends last, which Looker may still accept, and lets t inherit the past. mu is held.
func (l *LRU) replace(last, t *Token, now int64) {
	if last.Is(t.oauth.AccessToken) {
		last.retire(ended) // it lives on in t
	}
	t.history = last.history.with(last, now)
	last.history = nil // or each would keep all those before it in memory
	last.retire(ended)
	l.order.Remove(last)
}

// evict evicts the least recently used user if the LRU is full. mu is held.
func (l *LRU) evict(now int64) *Left {
	if l.order.Len() < l.size {
		return nil
	}
	oldest, _, _ := l.order.GetOldest()
	return l.takeOut(oldest, Evicted, now)
}

// Invalidate takes the token out of service if it is the current one of this identity. It stays
// until another one replaces it.
func (l *LRU) Invalidate(key Key, accessToken string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.current(key, accessToken)
	if t == nil {
		return false
	}
	t.retire(invalidated)
	t.history.clear()
	return true
}

// Reject is Invalidate of a token that Looker has rejected. If that token came in place of another
// rejected one, whatever rejects it will hardly take the next: so it is replaced, too, but later.
func (l *LRU) Reject(key Key, accessToken string, now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.current(key, accessToken)
	if t == nil {
		return false
	}
	if t.history == nil {
		t.history = &history{rejectedAt: noRejection}
	}
	if !t.history.reject(t, now) {
		return false
	}
	t.retire(invalidated)
	return true
}

// Accept says that Looker took the token where it had rejected the one before.
func (l *LRU) Accept(key Key, accessToken string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.current(key, accessToken); t != nil {
		t.history.clear()
	}
}

// End takes the token out of service, as it has been ended at Looker, if it is the current one.
func (l *LRU) End(key Key, accessToken string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.current(key, accessToken)
	if t == nil {
		return false
	}
	t.retire(ended)
	return true
}

// current returns the identity's token if it is this one, and served. mu is held.
func (l *LRU) current(key Key, accessToken string) *Token {
	t := l.tokens.get(key)
	if t == nil || t.state != current || !t.Is(accessToken) {
		return nil
	}
	return t
}

// Keys returns all identities of which something is in here, the service account first.
func (l *LRU) Keys() []Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys []Key
	for _, t := range l.all() {
		keys = append(keys, t.Key())
	}
	for key := range l.exports.alive {
		if l.tokens.get(key) == nil {
			keys = append(keys, key)
		}
	}
	return keys
}
