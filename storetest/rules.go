package storetest

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
)

// rules are what [Run] tests. Those of ttls are in ttl.go, those of concurrent
// calls in concurrent.go, and those of contexts in contexts.go.
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
	{"UseLeavesTheTTL", useLeavesTheTTL},
	{"AnyBytes", anyBytes},
	{"AnySize", anySize},
	{"SimilarValues", similarValues},
	{"Names", names},
	{"ManyNames", manyNames},
	{"SlicesAreTheCallers", slicesAreTheCallers},
	{"OneOfConcurrentSwapsWins", oneOfConcurrentSwapsWins},
	{"SwapOrDeletionWins", swapOrDeletionWins},
	{"NoUpdateIsLost", noUpdateIsLost},
	{"ValuesAreWhole", valuesAreWhole},
	{"ExpiredValueIsReplacedOnce", expiredValueIsReplacedOnce},
	{"EndedContext", endedContext},
	{"ContextThatEndsMeanwhile", contextThatEndsMeanwhile},
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

// However many names there are, each has its value.
func manyNames(s *subject) {
	values := make(map[string][]byte)
	for range 300 {
		name, value := newName(), newValue()
		s.swap(name, none, value, value)
		values[name] = value
	}
	for name, value := range values {
		s.holds(name, value)
		s.swap(name, value, none, none)
		if s.Failed() {
			return // one will do
		}
	}
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
		spoil(old)
		spoil(next)
		if !bytes.Equal(now, step.want) {
			s.Error("a swap returned a slice that it was given")
		}
		spoil(now)
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
