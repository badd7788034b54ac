package queue

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// MaxHoldDown is what hold-downs that double end at.
const MaxHoldDown = 30 * time.Second

const (
	minHoldDown = time.Second // after a first failure; doubled by each further one
	maxFailures = 10_000      // keys whose failures are remembered
)

// HoldDown keeps whoever has failed from trying again at once. It is safe for concurrent use.
type HoldDown[K comparable] struct {
	mu   sync.Mutex                 // guards what is below
	last *simplelru.LRU[K, failure] // bounded, as made-up keys fail for ever
}

// failure is what the last failure of a key leaves behind.
type failure struct {
	err   error
	since time.Time     // by the wall clock
	down  time.Duration // no try before since + down
}

// NewHoldDown makes a HoldDown in which nobody has failed.
func NewHoldDown[K comparable]() *HoldDown[K] {
	last, err := simplelru.NewLRU[K, failure](maxFailures, nil)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &HoldDown[K]{last: last}
}

// Refuse returns the key's last failure while it is held down, how long ago that was, and how long
// it is held down yet; all zero if it may try. A failure in the future holds nobody down: the clock
// was set back since.
func (h *HoldDown[K]) Refuse(key K, now time.Time) (age, left time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last, failed := h.last.Peek(key)
	elapsed := now.Sub(last.since)
	if failed && elapsed >= 0 && elapsed < last.down {
		return elapsed, last.down - elapsed, last.err
	}
	return 0, 0, nil
}

// Add holds the key down after a failure, and returns for how long: for fixed, or if that is 0 for
// twice as long as after the failure before, from a second to [MaxHoldDown]; and for no less than
// least.
func (h *HoldDown[K]) Add(
	key K, err error, fixed, least time.Duration, now time.Time,
) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	down := fixed
	if down == 0 {
		last, _ := h.last.Peek(key)
		down = min(max(2*last.down, minHoldDown), MaxHoldDown)
	}
	down = max(down, least)
	h.last.Add(key, failure{err, now, down})
	return down
}

// Postpone holds the key down although it has not failed: for d, or for as long as after its last
// failure if that is longer. What follows its next failure does not change.
func (h *HoldDown[K]) Postpone(key K, err error, d time.Duration, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last, _ := h.last.Peek(key)
	h.last.Add(key, failure{err, now, max(last.down, d)})
}

// Remove lets the key try, and its next failure be its first.
func (h *HoldDown[K]) Remove(key K) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last.Remove(key)
}
