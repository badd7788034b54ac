package lookerauth_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// memoryStore is a Store within one process, which can be made to fail.
type memoryStore struct {
	mu     sync.Mutex // guards what is below
	values map[string]storedValue
	meet   func(op string) error // what a call meets; called without mu
	calls  map[string]int        // by operation
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
		calls:  make(map[string]int),
	}
	store.works()
	return store
}

// onCall has every call meet this: its error, or whatever it does. The operations are "Get"
// and "Swap".
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

func (m *memoryStore) Get(ctx context.Context, name string) ([]byte, error) {
	if err := cmp.Or(ctx.Err(), m.call("Get")); err != nil {
		return nil, err
	}
	return bytes.Clone(m.get(name).value), nil
}

func (m *memoryStore) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	if err := cmp.Or(ctx.Err(), m.call("Swap")); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.current(name).value; !bytes.Equal(now, old) {
		return bytes.Clone(now), nil
	}
	delete(m.values, name)
	if len(next) > 0 {
		m.values[name] = storedValue{bytes.Clone(next), time.Now().Add(ttl)}
	}
	return bytes.Clone(next), nil
}

// current returns what is stored under the name, if that has not expired. mu is held.
func (m *memoryStore) current(name string) storedValue {
	if s := m.values[name]; time.Now().Before(s.expiry) {
		return s
	}
	return storedValue{}
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
	return m.current(name)
}

func (m *memoryStore) set(name string, value []byte, ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[name] = storedValue{value, time.Now().Add(ttl)}
}

// garble makes all values ones that do not open.
func (m *memoryStore) garble() {
	for _, name := range m.names() {
		m.set(name, []byte("garbage"), time.Hour)
	}
}

// swap exchanges the values of two names.
func (m *memoryStore) swap(a, b string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[a], m.values[b] = m.values[b], m.values[a]
}

// slowSwap is a memoryStore whose swaps take effect long before they answer.
type slowSwap struct{ *memoryStore }

func (s slowSwap) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	now, err := s.memoryStore.CompareAndSwap(ctx, name, old, next, ttl)
	time.Sleep(100 * time.Millisecond)
	return now, err
}

// hungStore is a memoryStore that does not answer.
type hungStore struct{ *memoryStore }

func (hungStore) Get(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s hungStore) CompareAndSwap(
	ctx context.Context, name string, _, _ []byte, _ time.Duration,
) ([]byte, error) {
	return s.Get(ctx, name)
}
