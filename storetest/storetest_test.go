package storetest

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
)

// memory is a Store over a map and a mutex.
type memory struct {
	mu     sync.Mutex
	values map[string]entry
}

type entry struct {
	value []byte
	end   time.Time
}

func newMemory() *memory { return &memory{values: make(map[string]entry)} }

func (m *memory) get(name string) []byte {
	e, ok := m.values[name]
	if !ok || time.Now().After(e.end) {
		return nil
	}
	return e.value
}

func (m *memory) set(name string, value []byte, ttl time.Duration) {
	if len(value) == 0 {
		delete(m.values, name)
		return
	}
	m.values[name] = entry{value, time.Now().Add(ttl)}
}

func (m *memory) Get(ctx context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.get(name)), ctx.Err()
}

func (m *memory) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() == nil && bytes.Equal(m.get(name), old) {
		m.set(name, bytes.Clone(next), ttl)
	}
	return bytes.Clone(m.get(name)), ctx.Err()
}

func TestStoreInMemoryPasses(t *testing.T) {
	shared := newMemory()
	Run(t, func(t *testing.T) lookerauth.Store { return newMemory() })
	for range 2 {
		Run(t, func(*testing.T) lookerauth.Store { return shared })
	}
}

// replica is a Store whose Get returns what was there a few calls ago.
type replica struct {
	*memory
	mu   sync.Mutex
	late map[string][][]byte
}

func (r *replica) Get(ctx context.Context, name string) ([]byte, error) {
	const lag = 5
	value, err := r.memory.Get(ctx, name)
	r.mu.Lock()
	defer r.mu.Unlock()
	values := append(r.late[name], value)
	r.late[name] = values[max(0, len(values)-lag):]
	return bytes.Clone(values[0]), err
}

func TestStoreWithALateReplicaPasses(t *testing.T) {
	Run(t, func(*testing.T) lookerauth.Store {
		return &replica{memory: newMemory(), late: make(map[string][][]byte)}
	})
}
