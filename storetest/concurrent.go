package storetest

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
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
		var nexts, answers [callers][]byte
		var all sync.WaitGroup
		for i := range callers {
			nexts[i] = newValue()
			all.Go(func() {
				var err error
				answers[i], err = s.store.CompareAndSwap(s.Context(), name, value, nexts[i], ttl)
				if err != nil {
					s.Errorf("CompareAndSwap: %v", err)
				}
			})
		}
		all.Wait()
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
		now, err := s.store.CompareAndSwap(s.Context(), name, old, next, ttl)
		if err != nil {
			s.Errorf("CompareAndSwap: %v", err)
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
