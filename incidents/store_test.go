package incidents

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"
)

// store is a Store in memory.
type store struct {
	mu     sync.Mutex // guards what is below
	values map[string]stored
	meet   func(ctx context.Context) error // what a call meets; nil if nothing
}

type stored struct {
	value  []byte
	expiry time.Time
}

func newStore() *store { return &store{values: make(map[string]stored)} }

// onCall has every call meet this; nil ends it.
func (s *store) onCall(meet func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meet = meet
}

// failOnce has the next call fail.
func (s *store) failOnce() {
	s.onCall(func(context.Context) error {
		s.onCall(nil)
		return errors.New("connection reset")
	})
}

// spoilOne spoils a value that somebody will ask for.
func (s *store) spoilOne() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, v := range s.values {
		v.value = []byte("spoilt")
		s.values[name] = v
		return
	}
}

func (s *store) call(ctx context.Context) error {
	s.mu.Lock()
	meet := s.meet
	s.mu.Unlock()
	if meet == nil {
		return ctx.Err()
	}
	return meet(ctx)
}

// get returns the value of name. mu is held.
func (s *store) get(name string) []byte {
	if v := s.values[name]; time.Now().Before(v.expiry) {
		return bytes.Clone(v.value)
	}
	return nil
}

func (s *store) Get(ctx context.Context, name string) ([]byte, error) {
	if err := s.call(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(name), nil
}

func (s *store) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	if err := s.call(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.get(name); !bytes.Equal(now, old) {
		return now, nil
	}
	delete(s.values, name)
	if len(next) > 0 {
		s.values[name] = stored{bytes.Clone(next), time.Now().Add(ttl)}
	}
	return bytes.Clone(next), nil
}
