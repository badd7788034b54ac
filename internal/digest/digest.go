// Package digest is for telling of what happens again and again: of the first one at once, then no
// more often than every so often, with the number of those that came since.
package digest

import (
	"sync"
	"time"
)

// Digest counts what nobody has been told of yet. It is safe for concurrent use. It has no timer:
// numbers are told with the next one that comes late enough, or at the end.
type Digest[T any] struct {
	every time.Duration

	mu     sync.Mutex // guards what is below
	begun  bool       // somebody was told of one
	told   time.Time  // when
	last   T
	untold int
}

// New makes a Digest of which somebody is told once in this time.
func New[T any](every time.Duration) *Digest[T] { return &Digest[T]{every: every} }

// Add counts one. It returns of how many to tell now, this one among them; 0 if it is too early for
// that. now is the time by the wall clock. If that was set back, nobody knows how long ago the last
// one was, and this one is told.
func (d *Digest[T]) Add(one T, now time.Time) (n int) { return d.AddEvery(d.every, one, now) }

// AddEvery is Add with another time between two of which somebody is told, for this one.
func (d *Digest[T]) AddEvery(every time.Duration, one T, now time.Time) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = one
	d.untold++
	// A little before is just as well a little after: several may come at once, in any order.
	if d.begun && now.Sub(d.told).Abs() < every {
		return 0
	}
	d.begun, d.told = true, now
	return d.take()
}

// Rest returns of how many nobody has been told, and the last of them. The next one is the first
// again.
func (d *Digest[T]) Rest() (last T, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	last = d.last
	d.begun = false
	return last, d.take()
}

// take begins to count anew. mu is held.
func (d *Digest[T]) take() (n int) {
	var none T
	n, d.untold, d.last = d.untold, 0, none
	return n
}
