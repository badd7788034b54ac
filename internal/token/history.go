package token

import "math"

// history is what an identity's token inherits from those before it. It is guarded by the lock of
// the LRU; a nil one is empty.
type history struct {
	rejectedAt int64    // when one was last invalidated; noRejection if never
	alive      []*Token // those that Looker may still accept, oldest first
}

// noRejection is longer ago than any interval.
const noRejection = math.MinInt64

// with returns the history of the token that replaces t, whose history h is.
func (h *history) with(t *Token, now int64) *history {
	next := history{rejectedAt: h.lastRejection(), alive: h.aliveWith(t, now)}
	if next.rejectedAt == noRejection && len(next.alive) == 0 {
		return nil
	}
	return &next
}

// lastRejection returns when a token of the identity was last invalidated.
func (h *history) lastRejection() int64 {
	if h == nil {
		return noRejection
	}
	return h.rejectedAt
}

// aliveWith returns which tokens Looker may still accept, of those in h and t.
func (h *history) aliveWith(t *Token, now int64) []*Token {
	var alive []*Token
	if h != nil {
		for _, before := range h.alive {
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
