package token

import "math"

// past is what an identity's token inherits from those before it. It is guarded by the lock of the
// LRU; a nil one is empty.
type past struct {
	rejectedAt int64    // when one was last invalidated; noRejection if never
	alive      []*Token // those that Looker may still accept, oldest first
}

// noRejection is longer ago than any interval.
const noRejection = math.MinInt64

// with returns the past of the token that replaces t, whose past p is.
func (p *past) with(t *Token, now int64) *past {
	next := past{rejectedAt: p.lastRejection(), alive: p.aliveWith(t, now)}
	if next.rejectedAt == noRejection && len(next.alive) == 0 {
		return nil
	}
	return &next
}

// lastRejection returns when a token of the identity was last invalidated.
func (p *past) lastRejection() int64 {
	if p == nil {
		return noRejection
	}
	return p.rejectedAt
}

// aliveWith returns which tokens Looker may still accept, of those in p and t.
func (p *past) aliveWith(t *Token, now int64) []*Token {
	var alive []*Token
	if p != nil {
		for _, before := range p.alive {
			if !before.dead(now) {
				alive = append(alive, before)
			}
		}
	}
	if t.dead(now) {
		return alive
	}
	return append(alive, t)
}
