package bench

import (
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkMemory measures how much the heap grows by with each cached user: the id, the token and
// all that keeps them. What the benchmark itself holds is there before. The time it reports is that
// of filling.
func BenchmarkMemory(b *testing.B) {
	contestants := []struct {
		name string
		fill func(users int) any
	}{
		{"lookerauth", func(users int) any { return fillLookerauth(users) }},
		{"ttlcache", func(users int) any { return fillTTLCache(users) }},
		{"otter-expiry", func(users int) any { return fillOtterExpiry(users) }},
		{"lru", func(users int) any { return fillLRU(users) }},
		{"otter", func(users int) any { return fillOtter(users) }},
		{"syncmap", func(users int) any { return fillMap(users) }},
		// The last one, as it never leaves the memory again.
		{"expirable", func(users int) any { return fillExpirable(users) }},
	}
	for _, users := range populationSizes()[1:] {
		for _, contestant := range contestants {
			b.Run(fmt.Sprintf("users=%d/%s", users, contestant.name), func(b *testing.B) {
				userIDs(users) // are there before
				var grown uint64
				for b.Loop() {
					before := heapInUse()
					kept := contestant.fill(users)
					grown = heapInUse() - before
					runtime.KeepAlive(kept)
				}
				b.ReportMetric(float64(grown)/float64(users), "B/user")
			})
		}
	}
}

// heapInUse returns the bytes of all objects that can be reached.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // what had a finalizer or was in a sync.Pool is gone now
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
