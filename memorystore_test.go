package lookerauth_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lookerauth/lookerauth"
)

// memoryStore is a Store within one process, which can be made to fail.
type memoryStore struct {
	mu     sync.Mutex // guards what is below
	values map[string]stored
	locks  map[string]chan struct{} // full while locked
	fail   func(op string) error    // nil: nothing fails; called without mu
	calls  map[string]int
}

// meet counts the call, and lets it meet what was planned.
func (m *memoryStore) meet(op string) error {
	m.mu.Lock()
	m.calls[op]++
	fail := m.fail
	m.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(op)
}

func (m *memoryStore) setFail(fail func(op string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *memoryStore) Get(_ context.Context, key string) ([]byte, error) {
	if err := m.meet("Get"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.values[key]
	if !ok || !time.Now().Before(s.expiry) {
		return nil, fmt.Errorf("memory: %w", lookerauth.ErrNotStored)
	}
	return s.value, nil
}

func (m *memoryStore) Put(_ context.Context, key string, value []byte, ttl time.Duration) error {
	if err := m.meet("Put"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = stored{value, time.Now().Add(ttl)}
	return nil
}

func (m *memoryStore) Delete(_ context.Context, key string, value []byte) error {
	if err := m.meet("Delete"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if bytes.Equal(m.values[key].value, value) {
		delete(m.values, key)
	}
	return nil
}

func (m *memoryStore) Lock(ctx context.Context, key string) (func(), error) {
	if err := m.meet("Lock"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	lock := m.locks[key]
	if lock == nil {
		lock = make(chan struct{}, 1)
		m.locks[key] = lock
	}
	m.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { _ = m.meet("unlock"); <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *memoryStore) callsOf(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}

// names are the keys that have a value, in order.
func (m *memoryStore) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.values))
}

// garble makes all values ones that do not open.
func (m *memoryStore) garble() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.values {
		m.values[name] = stored{nil, time.Now().Add(time.Hour)}
	}
}

// swap exchanges the values of two keys.
func (m *memoryStore) swap(a, b string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[a], m.values[b] = m.values[b], m.values[a]
}

type stored struct {
	value  []byte
	expiry time.Time
}

func newMemoryStore() *memoryStore {
	return &memoryStore{values: make(map[string]stored), locks: make(map[string]chan struct{}), calls: make(map[string]int)}
}

// slowPut is a memoryStore whose Put takes effect long before it answers.
type slowPut struct{ *memoryStore }

func (s slowPut) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	err := s.memoryStore.Put(ctx, key, value, ttl)
	time.Sleep(100 * time.Millisecond)
	return err
}

// hungGet is a memoryStore that does not answer.
type hungGet struct{ *memoryStore }

func (hungGet) Get(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// hungLock is a memoryStore whose locks nobody gets.
type hungLock struct{ *memoryStore }

func (hungLock) Lock(ctx context.Context, _ string) (func(), error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// lateLock is a memoryStore whose Lock takes its time, whatever its context says.
type lateLock struct{ *memoryStore }

func (s lateLock) Lock(_ context.Context, key string) (func(), error) {
	time.Sleep(10 * time.Second)
	return s.memoryStore.Lock(context.Background(), key)
}

// unlockedBy is a memoryStore whose locks are free, with this unlock.
type unlockedBy struct {
	*memoryStore
	unlock func()
}

func (s unlockedBy) Lock(context.Context, string) (func(), error) { return s.unlock, nil }
