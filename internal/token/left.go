package token

import "slices"

// Left is what left an LRU, all of one identity. It has to be ended.
type Left struct {
	Key    Key
	Tokens []*Token // the identity's token, and others of it that Looker may still accept
	Why    Cause
	Usable bool // the identity's token could still be served
}

// Cause is why an identity left an LRU.
type Cause uint8

const (
	Evicted Cause = iota // others were used more recently
	Removed              // on request
	Closed               // with all others
)

// takeOut ends the life of an identity's token in here. mu is held.
func (l *LRU) takeOut(t *Token, why Cause, now int64) *Left {
	l.order.Remove(t)
	l.tokens.remove(t)
	usable := t.state == current && !t.Expired(now)
	left := &Left{t.Key(), t.history.aliveWith(t, now), why, usable}
	if why == Removed {
		left.Tokens = append(without(l.exports.take(t.Key(), now), t, now), left.Tokens...)
	}
	t.history = nil // which a Slot that is kept would keep in memory
	if t.state == current {
		t.retire(ended)
	}
	return left
}

// Remove takes an identity out, with its exported tokens; nil if nothing of it is in here.
func (l *LRU) Remove(key Key, now int64) *Left {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tokens.get(key); t != nil {
		return l.takeOut(t, Removed, now)
	}
	if exported := l.exports.take(key, now); len(exported) > 0 {
		return &Left{Key: key, Tokens: exported, Why: Removed}
	}
	return nil
}

// Close takes all identities out, the service account first, without their exported tokens, but
// with those that were kept.
func (l *LRU) Close(now int64) []*Left {
	l.mu.Lock()
	defer l.mu.Unlock()
	var left []*Left
	for _, t := range l.all() {
		one := l.takeOut(t, Closed, now)
		one.Tokens = append(l.exports.takeKept(one.Key, now), one.Tokens...)
		left = append(left, one)
	}
	for key := range l.exports.alive {
		if kept := l.exports.takeKept(key, now); len(kept) > 0 {
			left = append(left, &Left{Key: key, Tokens: kept, Why: Closed})
		}
	}
	return left
}

// all returns the tokens of all identities. mu is held.
func (l *LRU) all() []*Token {
	tokens := l.order.Keys()
	if service := l.tokens.get(Key{Kind: ServiceAccount}); service != nil {
		tokens = slices.Insert(tokens, 0, service)
	}
	return tokens
}
