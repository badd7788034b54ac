package queue_test

import (
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/internal/queue"
)

// realClock is the time package's.
type realClock struct{}

func (realClock) Now() time.Time                         { return time.Now() }
func (realClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

func BenchmarkTakeAndGiveUp(b *testing.B) {
	q := queue.New(16, limit, realClock{})
	b.ReportAllocs()
	for b.Loop() {
		turn := newTurn(q)
		if err := turn.Take(b.Context()); err != nil {
			b.Fatal(err)
		}
		turn.GiveUp()
	}
}

// BenchmarkTenThousandWait has them come while no slot is free, and then each have one. Most of it
// is what the goroutines cost.
func BenchmarkTenThousandWait(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		q := queue.New(1, limit, realClock{})
		held := newTurn(q)
		if err := held.Take(b.Context()); err != nil {
			b.Fatal(err)
		}
		var all sync.WaitGroup
		for range 10_000 {
			turn := newTurn(q)
			all.Go(func() {
				_ = turn.Take(b.Context())
				turn.GiveUp()
			})
		}
		held.GiveUp()
		all.Wait()
	}
}
