package storetest

import (
	"bytes"
	"time"
)

func endOfTTL(s *subject) {
	for _, short := range []time.Duration{time.Nanosecond, time.Millisecond} {
		for _, see := range []func(name string) []byte{s.current, s.get} {
			name, value, second := newName(), newValue(), newValue()
			// It may have ended before the swap returns.
			now := s.swapFor(short, name, none, value)
			if len(now) > 0 && !bytes.Equal(now, value) {
				s.Errorf("a swap for %v returned %s, want %s", short, quote(now), quote(value))
			}
			if !eventually(func() bool { return len(see(name)) == 0 }) {
				s.Errorf("a value is still there long after its ttl of %v", short)
			}
			s.holds(name, none)
			s.swap(name, value, newValue(), none)
			s.swap(name, none, second, second)
			s.holds(name, second)
		}
	}
}

func replacementHasItsOwnTTL(s *subject) {
	name, long, short := newName(), newValue(), newValue()
	s.swap(name, none, long, long)
	s.swapFor(time.Millisecond, name, long, short)
	if !eventually(func() bool { return len(s.current(name)) == 0 }) {
		s.Error("a value has the ttl of the one that it replaced")
	}
	s.whileItLives(func(brief time.Duration) (lived bool) {
		name, other, short, long := newName(), newName(), newValue(), newValue()
		s.swapFor(brief, name, none, short)
		if now := s.swapFor(ttl, name, short, long); !bytes.Equal(now, long) {
			return false
		}
		s.swapFor(brief, other, none, short) // it ends after the one that was replaced
		eventually(func() bool { return len(s.current(other)) == 0 })
		s.holds(name, long)
		return true
	})
}

// Who looks at a value, or would have another one in its place, does not make it live longer.
func useLeavesTheTTL(s *subject) {
	for _, see := range []func(name string) []byte{s.current, s.get} {
		s.whileItLives(func(brief time.Duration) (lived bool) {
			name, value := newName(), newValue()
			s.swapFor(brief, name, none, value)
			if !bytes.Equal(s.current(name), value) || !bytes.Equal(s.get(name), value) {
				return false
			}
			if !eventually(func() bool { return len(see(name)) == 0 }) {
				s.Error("a value lives longer than its ttl while it is looked at")
			}
			return true
		})
	}
}

// whileItLives calls f with a short ttl. If f finds that the value ended before it was seen, as on
// a slow machine, or by a Get that is out of date, it is called with a longer one.
func (s *subject) whileItLives(f func(brief time.Duration) (lived bool)) {
	for brief := 20 * time.Millisecond; brief <= patience; brief *= 2 {
		if f(brief) {
			return
		}
	}
	s.Error("values end long before their ttl")
}
