package storetest

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// rules are what [Run] tests. Those of concurrent calls are in concurrent.go.
var rules = []struct {
	name  string
	check func(*subject)
}{
	{"NoValueAtFirst", noValueAtFirst},
	{"SwapOfTheValue", swapOfTheValue},
	{"SwapOfAnotherValue", swapOfAnotherValue},
	{"Deletion", deletion},
	{"SwapSentAgain", swapSentAgain},
	{"EndOfTTL", endOfTTL},
	{"ReplacementHasItsOwnTTL", replacementHasItsOwnTTL},
	{"AnyBytes", anyBytes},
	{"AnySize", anySize},
	{"SimilarValues", similarValues},
	{"Names", names},
	{"SlicesAreTheCallers", slicesAreTheCallers},
	{"OneOfConcurrentSwapsWins", oneOfConcurrentSwapsWins},
	{"NoUpdateIsLost", noUpdateIsLost},
	{"EndedContext", endedContext},
}

func noValueAtFirst(s *subject) {
	s.holds(newName(), none)
}

func swapOfTheValue(s *subject) {
	for _, empty := range [][]byte{nil, {}} {
		name, first, second := newName(), newValue(), newValue()
		s.swap(name, empty, first, first)
		s.holds(name, first)
		s.swap(name, first, second, second)
		s.holds(name, second)
	}
}

func swapOfAnotherValue(s *subject) {
	name, value := newName(), newValue()
	s.swap(name, newValue(), newValue(), none)
	s.swap(name, newValue(), none, none)
	s.holds(name, none)
	s.swap(name, none, value, value)
	for _, other := range [][]byte{nil, {}, newValue()} {
		s.swap(name, other, newValue(), value)
		s.holds(name, value)
	}
}

func deletion(s *subject) {
	for _, empty := range [][]byte{nil, {}} {
		name, value, second := newName(), newValue(), newValue()
		s.swap(name, empty, empty, none)
		s.swap(name, none, value, value)
		for _, other := range [][]byte{nil, {}, newValue()} {
			s.swap(name, other, empty, value)
			s.holds(name, value)
		}
		s.swap(name, value, empty, none)
		s.holds(name, none)
		s.swap(name, value, newValue(), none)
		s.swap(name, none, second, second)
		s.holds(name, second)
		if now := s.swapFor(0, name, second, empty); len(now) > 0 { // which needs no ttl
			s.Errorf("a swap for none, with a ttl of 0, returned %s", quote(now))
		}
		s.holds(name, none)
	}
}

// A swap whose answer was lost is sent again, perhaps after another one.
func swapSentAgain(s *subject) {
	name, first, second, third := newName(), newValue(), newValue(), newValue()
	for range 2 {
		s.swap(name, none, first, first)
	}
	for range 2 {
		s.swap(name, first, second, second)
	}
	s.swap(name, none, first, second)
	for range 2 {
		s.swap(name, second, none, none)
	}
	s.swap(name, none, third, third)
	s.swap(name, first, second, third)
	s.swap(name, second, none, third)
	s.holds(name, third)
}

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
	// On a slow machine the first value may end before it is replaced: then give it longer.
	for brief := 20 * time.Millisecond; brief <= patience; brief *= 2 {
		name, other, short, long := newName(), newName(), newValue(), newValue()
		s.swapFor(brief, name, none, short)
		if now := s.swapFor(ttl, name, short, long); !bytes.Equal(now, long) {
			continue
		}
		s.swapFor(brief, other, none, short) // it ends after the one that was replaced
		eventually(func() bool { return len(s.current(other)) == 0 })
		s.holds(name, long)
		return
	}
	s.Error("values end long before their ttl")
}

// maxSize is that of the longest value.
const maxSize = 8 << 10

func anyBytes(s *subject) {
	name := newName()
	last := none
	for _, text := range []string{
		"\x00", "\x00\x00", "\n", "\r\n", " ", "0", "-1", "nil", "null", `"`, "{}", "\xff\xfe", "é",
	} {
		s.swap(name, last, []byte(text), []byte(text))
		s.holds(name, []byte(text))
		last = []byte(text)
	}
}

func anySize(s *subject) {
	name := newName()
	last := none
	for _, size := range []int{
		1, 2, 127, 128, 255, 256, 1023, 1024, 4095, 4096, maxSize - 1, maxSize, 3,
	} {
		value := make([]byte, size)
		for i := range value {
			value[i] = byte(rand.Uint32())
		}
		if bytes.Equal(value, last) {
			value[0]++
		}
		s.swap(name, last, value, value)
		s.holds(name, value)
		last = value
	}
	s.swap(name, last, none, none)
	s.holds(name, none)
}

// Values that are equal but for a byte, or for their end, are different values.
func similarValues(s *subject) {
	for _, size := range []int{1, 64, maxSize - 1, maxSize} {
		name := newName()
		value := bytes.Repeat([]byte("x"), size)
		s.swap(name, none, value, value)
		changed := slices.Clone(value)
		changed[size-1] = 'X'
		similar := [][]byte{changed, value[:size-1]}
		if size < maxSize {
			similar = append(similar, append(slices.Clone(value), 0))
			similar = append(similar, append(slices.Clone(value), ' '))
		}
		for _, other := range similar {
			s.swap(name, other, newValue(), value)
		}
		s.holds(name, value)
	}
}

// alphabet is what names are made of: 64 characters.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// Names do not interfere, however similar they are.
func names(s *subject) {
	shuffled := []byte(alphabet)
	rand.Shuffle(len(shuffled), func(i, j int) {
		shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
	})
	long, middle := string(shuffled), newName()
	names := []string{
		long, long[1:], long[:63], long[:63] + long[:1], swapCase(long),
		strings.Repeat("-", 64), strings.Repeat("_", 64), strings.Repeat("0", 64),
		middle, swapCase(middle), middle + "-", middle + "_", "-" + middle, middle + "-lock",
		"a", "A", "-", "_", "--", "0", "00", "1e0", "nil",
	}
	values := make([][]byte, len(names))
	for i, name := range names {
		s.swap(name, s.current(name), none, none) // from an earlier run
		values[i] = newValue()
	}
	for i, name := range names {
		s.swap(name, none, values[i], values[i])
	}
	for i, name := range names {
		if i%2 == 0 {
			s.swap(name, values[i], none, none)
			values[i] = none
		}
	}
	for i, name := range names {
		s.holds(name, values[i])
	}
}

// swapCase returns the name with small letters for capital ones, and the other way round.
func swapCase(name string) string {
	return strings.Map(func(r rune) rune {
		if lower := strings.ToLower(string(r)); lower != string(r) {
			return rune(lower[0])
		}
		return rune(strings.ToUpper(string(r))[0])
	}, name)
}

// What a caller does to slices, before or after, changes nothing in the Store.
func slicesAreTheCallers(s *subject) {
	name, first, second := newName(), newValue(), newValue()
	for _, step := range []struct{ old, next, want []byte }{
		{none, first, first},
		{first, second, second},
		{newValue(), newValue(), second}, // what is in the way
		{none, newValue(), second},
	} {
		old, next := slices.Clone(step.old), slices.Clone(step.next)
		now := s.swapFor(ttl, name, old, next)
		if !bytes.Equal(old, step.old) || !bytes.Equal(next, step.next) {
			s.Error("a swap changed the slices that it was given")
		}
		for _, slice := range [][]byte{old, next, now} {
			spoil(slice)
		}
		s.holds(name, step.want)
		spoil(s.get(name))
		s.holds(name, step.want)
	}
}

// spoil changes all bytes of the slice, and those that may be behind it.
func spoil(slice []byte) {
	slice = slice[:cap(slice)]
	for i := range slice {
		slice[i] ^= 0xff
	}
}

func endedContext(s *subject) {
	name, value := newName(), newValue()
	s.failsSoon("Get", func() error {
		_, err := s.store.Get(s.endedContext(), name)
		return err
	})
	s.failsSoon("CompareAndSwap", func() error {
		_, err := s.store.CompareAndSwap(s.endedContext(), name, none, newValue(), ttl)
		return err
	})
	s.holds(name, none) // it has had no effect
	s.swap(name, none, value, value)
	s.holds(name, value)
}
