package storetest

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"time"
)

const (
	callers = 8  // at the same time
	rounds  = 20 // of each
)

// Of swaps of the same value one succeeds, and the others return what it wrote.
func oneOfConcurrentSwapsWins(s *subject) {
	name := newName()
	value := none
	for range rounds {
		var nexts [callers][]byte
		answers := s.swapTogether(name, value, func(i int) []byte {
			nexts[i] = newValue()
			return nexts[i]
		})
		winners := 0
		for i := range callers {
			if bytes.Equal(answers[i], nexts[i]) {
				winners++
				value = nexts[i]
			}
		}
		if winners != 1 {
			s.Fatalf("%d of %d concurrent swaps of the same value succeeded", winners, callers)
		}
		for _, answer := range answers {
			if !bytes.Equal(answer, value) {
				s.Fatalf("a swap returned %s, after %s was written", quote(answer), quote(value))
			}
		}
	}
	s.holds(name, value)
}

// Of swaps of a value and its deletions one has its effect, which all return.
func swapOrDeletionWins(s *subject) {
	name := newName()
	for range rounds {
		value := newValue()
		s.swap(name, none, value, value)
		answers := s.swapTogether(name, value, func(i int) []byte {
			if i%2 == 0 {
				return none
			}
			return newValue()
		})
		for _, answer := range answers {
			if !bytes.Equal(answer, answers[0]) || bytes.Equal(answer, value) {
				s.Fatalf("swaps and deletions of %s returned %s and %s",
					quote(value), quote(answers[0]), quote(answer))
			}
		}
		s.holds(name, answers[0])
		s.swap(name, answers[0], none, none)
	}
}

// swapTogether swaps old for next(i), as caller i, all at the same time. It returns the answers.
func (s *subject) swapTogether(name string, old []byte, next func(i int) []byte) [][]byte {
	answers := make([][]byte, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { answers[i], _ = s.trySwap(name, old, next(i)) })
	}
	all.Wait()
	return answers
}

// trySwap is swapFor where a test may not be ended, which fails it.
func (s *subject) trySwap(name string, old, next []byte) (now []byte, ok bool) {
	now, err := s.store.CompareAndSwap(s.Context(), name, old, next, ttl)
	if err != nil {
		s.Errorf("CompareAndSwap: %v", err)
	}
	return now, err == nil
}

// Callers who count together, in the values of two names, come to the right sum.
func noUpdateIsLost(s *subject) {
	var all sync.WaitGroup
	names := []string{newName(), newName()}
	for range callers {
		for _, name := range names {
			all.Go(func() { s.count(name) })
		}
	}
	all.Wait()
	for _, name := range names {
		if got, want := counted(s.current(name)), callers*rounds; got != want {
			s.Errorf("counted to %d, want %d", got, want)
		}
	}
}

// count adds one to the number in the value of name, once each round.
func (s *subject) count(name string) {
	old, err := s.store.Get(s.Context(), name)
	if err != nil {
		s.Errorf("Get: %v", err)
		return
	}
	done := 0
	// The first try may fail as Get was out of date, each other one as somebody else's succeeded.
	for range 1 + callers*rounds {
		next := fmt.Appendf(nil, "%d %s", counted(old)+1, newValue())
		now, ok := s.trySwap(name, old, next)
		if !ok {
			return
		}
		if bytes.Equal(now, next) {
			done++
		}
		if done == rounds {
			return
		}
		old = now
	}
	s.Error("swaps failed more often than other ones succeeded")
}

// counted returns the number in a value.
func counted(value []byte) int {
	number, _, _ := bytes.Cut(value, []byte(" "))
	n, _ := strconv.Atoi(string(number)) // 0 if there is none
	return n
}

// Who looks at a value while it is replaced sees one or the other, and nothing between.
func valuesAreWhole(s *subject) {
	name := newName()
	written := make(chan struct{})
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := 0; ; i++ {
				value, err := s.store.Get(s.Context(), name)
				if err != nil || !isWhole(value) {
					s.Errorf("Get returned parts of two values, %v: %s", err, quote(value))
					return
				}
				select {
				case <-written:
					if i >= rounds {
						return
					}
				default:
				}
			}
		})
	}
	value := none
	for range rounds {
		next := bytes.Repeat(newValue(), maxSize/len(newValue()))
		now, ok := s.trySwap(name, value, next)
		if !ok || !bytes.Equal(now, next) {
			s.Errorf("a swap returned %s, want %s", quote(now), quote(next))
			break
		}
		value = next
	}
	close(written)
	all.Wait()
	s.holds(name, value)
}

// isWhole reports whether a value is one that valuesAreWhole writes, or none.
func isWhole(value []byte) bool {
	n := len(newValue())
	if len(value) == 0 {
		return true
	}
	return len(value) == maxSize/n*n && bytes.Equal(value, bytes.Repeat(value[:n], maxSize/n))
}

// Of callers who find that a value has expired, one puts another in its place.
func expiredValueIsReplacedOnce(s *subject) {
	for range rounds / 4 {
		name, expiring := newName(), newValue()
		s.swapFor(5*time.Millisecond, name, none, expiring)
		var nexts, answers [callers][]byte
		var all sync.WaitGroup
		for i := range callers {
			nexts[i] = newValue()
			all.Go(func() {
				if !eventually(func() (expired bool) {
					now, ok := s.trySwap(name, none, nexts[i])
					answers[i] = now
					// It may also be none, if the value expires as the swap looks at it.
					return !ok || len(now) > 0 && !bytes.Equal(now, expiring)
				}) {
					s.Error("a value is still there long after its ttl")
				}
			})
		}
		all.Wait()
		winners := 0
		for i := range callers {
			if bytes.Equal(answers[i], nexts[i]) {
				winners++
			}
			if !bytes.Equal(answers[i], answers[0]) {
				s.Fatalf("swaps of a value that has expired returned %s and %s",
					quote(answers[0]), quote(answers[i]))
			}
		}
		if winners != 1 {
			s.Fatalf("%d of %d swaps of a value that has expired succeeded", winners, callers)
		}
		s.holds(name, answers[0])
	}
}
