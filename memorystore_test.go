package lookerauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
)

// memoryStore is a Store within one process, which can be made to fail.
type memoryStore struct {
	mu     sync.Mutex // guards what is below
	values map[string]storedValue
	locks  map[string]chan struct{} // full while locked
	meet   func(op string) error    // what a call meets; called without mu
	calls  map[string]int           // by operation
}

type storedValue struct {
	value  []byte
	expiry time.Time
}

// errRefused is what a Store that is not there fails with.
var errRefused = errors.New("connection refused")

func newMemoryStore() *memoryStore {
	store := &memoryStore{
		values: make(map[string]storedValue),
		locks:  make(map[string]chan struct{}),
		calls:  make(map[string]int),
	}
	store.works()
	return store
}

// onCall has every call meet this: its error, or whatever it does. The operations are "Get", "Put",
// "Delete", "Lock" and "unlock".
func (m *memoryStore) onCall(meet func(op string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meet = meet
}

// works ends what onCall, fail and failOn began.
func (m *memoryStore) works() { m.onCall(func(string) error { return nil }) }

// fail makes all operations fail.
func (m *memoryStore) fail(err error) { m.onCall(func(string) error { return err }) }

// failOn makes one operation fail.
func (m *memoryStore) failOn(failing string, err error) {
	m.onCall(func(op string) error {
		if op == failing {
			return err
		}
		return nil
	})
}

// call counts a call, and lets it meet what is planned.
func (m *memoryStore) call(op string) error {
	m.mu.Lock()
	m.calls[op]++
	meet := m.meet
	m.mu.Unlock()
	return meet(op)
}

func (m *memoryStore) Get(_ context.Context, key string) ([]byte, error) {
	if err := m.call("Get"); err != nil {
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
	if err := m.call("Put"); err != nil {
		return err
	}
	m.set(key, value, ttl)
	return nil
}

func (m *memoryStore) Delete(_ context.Context, key string, value []byte) error {
	if err := m.call("Delete"); err != nil {
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
	if err := m.call("Lock"); err != nil {
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
		return func() { _ = m.call("unlock"); <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lock takes a lock as another process would, which has a second to get it.
func (m *memoryStore) lock(t *testing.T, name string) (unlock func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	unlock, err := m.Lock(ctx, name)
	if err != nil {
		t.Fatalf("the lock is held by somebody else: %v", err)
	}
	return unlock
}

// callsOf returns how often an operation was called.
func (m *memoryStore) callsOf(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}

// names returns the names that have a value, in order.
func (m *memoryStore) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.values))
}

// checkSize compares how many names have a value.
func (m *memoryStore) checkSize(t *testing.T, want int) {
	t.Helper()
	if n := len(m.names()); n != want {
		t.Errorf("%d values in the store, want %d", n, want)
	}
}

func (m *memoryStore) get(name string) storedValue {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[name]
}

func (m *memoryStore) set(name string, value []byte, ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[name] = storedValue{value, time.Now().Add(ttl)}
}

func (m *memoryStore) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.values)
}

// garble makes all values ones that do not open.
func (m *memoryStore) garble() {
	for _, name := range m.names() {
		m.set(name, nil, time.Hour)
	}
}

// swap exchanges the values of two names.
func (m *memoryStore) swap(a, b string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[a], m.values[b] = m.values[b], m.values[a]
}

// slowPut is a memoryStore whose Put takes effect long before it answers.
type slowPut struct{ *memoryStore }

func (s slowPut) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	err := s.memoryStore.Put(ctx, key, value, ttl)
	time.Sleep(100 * time.Millisecond)
	return err
}

// hungGet is a memoryStore whose Get does not answer.
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
