package token

import (
	"math"
	"time"
)

// history is what an identity's token inherits from those before it. It is guarded by the lock of
// the LRU; a nil one is empty.
type history struct {
	rejectedAt int64         // when the last one was rejected; noRejection if none was of late
	wait       time.Duration // no replacement for so long since then
	blamed     bool          // the present token was rejected, too, which has made wait longer
	alive      []*Token      // those that Looker may still accept, oldest first
}

// noRejection is longer ago than any wait.
const noRejection = math.MinInt64

// An endpoint that answers 401 whatever the token is must not cause a storm of logins.
const (
	minWait = 10 * time.Second // after the first replacement that was rejected, too; then doubled
	maxWait = 10 * time.Minute
)

// with returns the history of the token that replaces t, whose history h is.
func (h *history) with(t *Token, now int64) *history {
	next := history{rejectedAt: noRejection, alive: h.aliveWith(t, now)}
	if t.exported { // the LRU knows it all the same
		next.alive = h.stillAlive(now)
	}
	if h != nil {
		next.rejectedAt, next.wait = h.rejectedAt, h.wait
	}
	if next.rejectedAt == noRejection && len(next.alive) == 0 {
		return nil
	}
	return &next
}

// reject reports whether t, which was rejected, is to be replaced now. A token that was issued
// after the last rejection replaced a rejected one: the first time that it is rejected itself, the
// wait gets longer. One from the Store may be as dead as the one before, whatever the clock of who
// issued it says of when that was.
func (h *history) reject(t *Token, now int64) bool {
	if h.rejectedAt != noRejection && t.Taken == 0 && t.sent >= h.rejectedAt {
		if !h.blamed {
			h.blamed = true
			h.wait = min(max(2*h.wait, minWait), maxWait)
		}
		// A rejection in the future is long ago: the clock was set back since.
		if uint64(now-h.rejectedAt) < uint64(h.wait) {
			return false
		}
	}
	h.rejectedAt = now
	return true
}

// clear lets the next rejection be the first.
func (h *history) clear() {
	if h != nil {
		h.rejectedAt, h.wait, h.blamed = noRejection, 0, false
	}
}

// stillAlive returns which tokens Looker may still accept, of those in h.
func (h *history) stillAlive(now int64) []*Token {
	if h == nil {
		return nil
	}
	return without(h.alive, nil, now)
}

// aliveWith is stillAlive of those in h and t.
func (h *history) aliveWith(t *Token, now int64) []*Token {
	alive := h.stillAlive(now)
	if t.state == ended || t.dead(now) {
		return alive
	}
	return append(alive, t)
}
