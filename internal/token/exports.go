package token

// Export says that others have the token, too, if it is the current one of this identity: only
// Remove returns it from then on, for as long as it may live.
func (l *LRU) Export(key Key, accessToken string, now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.current(key, accessToken)
	if t == nil {
		return false
	}
	t.exported = true
	l.exports.add(t, now)
	return true
}

// Keep has Remove, or Close, return tokens of identities that have left once more, for as long as
// they may live.
func (l *LRU) Keep(tokens []*Token, now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range tokens {
		l.exports.add(t, now)
	}
}

// exports are the tokens that others have, and those that were kept, by identity: as far as Looker
// may still accept them. They are guarded by the lock of the LRU. The zero value is ready for use,
// and holds nothing.
type exports struct {
	alive  map[Key][]*Token
	passed int // changes of the LRU since the dead ones were looked for
}

// add adds t, which may be there.
func (e *exports) add(t *Token, now int64) {
	key := t.Key()
	if e.alive == nil {
		e.alive = make(map[Key][]*Token)
	}
	e.alive[key] = append(without(e.alive[key], t, now), t)
}

// has reports whether t is there, be it with other times.
func (e *exports) has(t *Token) bool {
	for _, exported := range e.alive[t.Key()] {
		if exported.Is(t.oauth.AccessToken) {
			return true
		}
	}
	return false
}

// take takes all of an identity out, oldest first.
func (e *exports) take(key Key, now int64) []*Token {
	tokens := without(e.alive[key], nil, now)
	delete(e.alive, key)
	return tokens
}

// takeKept takes those of an identity out that nobody else has, oldest first.
func (e *exports) takeKept(key Key, now int64) (kept []*Token) {
	var exported []*Token
	for _, t := range without(e.alive[key], nil, now) {
		if t.exported {
			exported = append(exported, t)
		} else {
			kept = append(kept, t)
		}
	}
	if len(kept) > 0 {
		e.alive[key] = exported
	}
	return kept
}

// pass is told of each change, and forgets the dead ones after as many as there are identities: so
// it costs little, however many have come once and never again.
func (e *exports) pass(now int64) {
	if e.passed++; e.passed <= len(e.alive) {
		return
	}
	e.passed = 0
	for key, tokens := range e.alive {
		if tokens = without(tokens, nil, now); len(tokens) == 0 {
			delete(e.alive, key)
		} else {
			e.alive[key] = tokens
		}
	}
	if len(e.alive) == 0 {
		e.alive = nil // a map keeps its memory
	}
}

// without returns the tokens that are alive, but t.
func without(tokens []*Token, t *Token, now int64) []*Token {
	var alive []*Token
	for _, each := range tokens {
		if !each.dead(now) && (t == nil || !each.Is(t.oauth.AccessToken)) {
			alive = append(alive, each)
		}
	}
	return alive
}
