//go:build unix

package faults

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// kind is what happens in a history.
type kind string

const (
	begins      kind = "begins"      // a login, at Looker
	ends        kind = "ends"        // a login, at Looker, with a token or without
	serves      kind = "serves"      // a process hands a token out, or has a request answered
	invalidates kind = "invalidates" // Invalidate of a token
	logout      kind = "begins to log out"
	logsOut     kind = "logs out" // successfully; with the tokens that Looker was told to end
	fails       kind = "fails to log out"
	killed      kind = "is killed"
)

// event is one thing that a process has done. All but what Looker sees take their time.
type event struct {
	kind     kind
	process  string // another name after each start
	identity string // of all of them, if the process is killed
	number   int    // of a login that begins or ends, or of a Logout
	at       time.Time
	leased   time.Time // when the login's process began to take the lease; zero if it has none
	tokens   []string  // issued, served, invalidated or logged out: one, or none
}

// history is what the processes have done, in the order in which it was seen.
type history struct {
	mu         sync.Mutex // guards what is below
	now        int64
	operations []porcupine.Operation
}

// begin returns the time at which something begins, for [history.end].
func (h *history) begin() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now++
	return h.now
}

func (h *history) end(begun int64, e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now++
	h.operations = append(h.operations, porcupine.Operation{Input: e, Call: begun, Return: h.now})
}

// add adds what takes no time.
func (h *history) add(e event) { h.end(h.begin(), e) }

// state is what the model knows of an identity after some of the history. It is never changed.
type state struct {
	issued set               // tokens
	ended  set               // those whose Logout was answered
	held   map[string]string // by process: what it has served last, if it has not lost that since
	lost   map[string]set    // by process: what it has invalidated, or logged out
	logins []event           // that have begun, and not ended

	leaving map[string]int // by process: how many of its Logouts have begun, and not ended
	before  map[int]set    // by Logout: what its process had, or had lost, when it began
}

type set = map[string]bool

// with returns the set with some more.
func with(s set, more ...string) set {
	s = maps.Clone(s)
	if s == nil {
		s = set{}
	}
	for _, one := range more {
		s[one] = true
	}
	return s
}

// of returns the map with another value of the key.
func of[K comparable, V any](m map[K]V, key K, v V) map[K]V {
	m = maps.Clone(m)
	if m == nil {
		m = map[K]V{}
	}
	m[key] = v
	return m
}

// patience is how long a lease is respected, at least, by whoever watches it.
const patience = 5 * time.Second

// step says what becomes of the state, and whether the event may happen in it.
func (s state) step(e event) (bool, state) {
	switch e.kind {
	case begins:
		for _, other := range s.logins {
			if !other.leased.IsZero() && !e.leased.IsZero() && e.at.Sub(other.leased) < patience {
				return false, s // two at once have the lease
			}
		}
		s.logins = append(slices.Clip(s.logins), e)
	case ends:
		s.issued = with(s.issued, e.tokens...)
		s.logins = slices.DeleteFunc(slices.Clone(s.logins), func(other event) bool {
			return other.number == e.number
		})
	case serves:
		t := e.tokens[0]
		isNew := s.held[e.process] != t
		if !s.issued[t] || s.lost[e.process][t] || s.ended[t] && isNew {
			return false, s
		}
		s.held = of(s.held, e.process, t)
	case invalidates:
		if t := e.tokens[0]; s.held[e.process] == t && s.leaving[e.process] == 0 {
			s.lost = of(s.lost, e.process, with(s.lost[e.process], t))
		}
	case logout: // meanwhile it may forget what it has invalidated, and find it again
		before := with(s.lost[e.process], s.held[e.process])
		s.before = of(s.before, e.number, before)
		s.lost = of(s.lost, e.process, nil)
		s.leaving = of(s.leaving, e.process, s.leaving[e.process]+1)
	case logsOut:
		lost := with(s.lost[e.process], e.tokens...)
		maps.Copy(lost, s.before[e.number])
		s.ended, s.lost = with(s.ended, e.tokens...), of(s.lost, e.process, lost)
		if lost[s.held[e.process]] {
			s.held = of(s.held, e.process, "")
		}
		s.leaving = of(s.leaving, e.process, s.leaving[e.process]-1)
	case fails:
		s.leaving = of(s.leaving, e.process, s.leaving[e.process]-1)
	case killed:
		s.logins = slices.DeleteFunc(slices.Clone(s.logins), func(other event) bool {
			return other.process == e.process
		})
	}
	return true, s
}

func (s state) equal(other state) bool {
	sets := func(a, b set) bool { return maps.Equal(a, b) }
	return maps.Equal(s.issued, other.issued) && maps.Equal(s.ended, other.ended) &&
		maps.Equal(s.held, other.held) && maps.EqualFunc(s.lost, other.lost, sets) &&
		maps.Equal(s.leaving, other.leaving) && maps.EqualFunc(s.before, other.before, sets) &&
		slices.EqualFunc(s.logins, other.logins, func(a, b event) bool {
			return a.number == b.number
		})
}

// model is what a fleet promises, for each identity by itself:
//
//   - A token is served to none but the identity that Looker has issued it to.
//   - After Logout, its process never serves a token again that it had, or that Logout has ended.
//     No other process gets one of these: it may only go on with what it has already, until Looker
//     rejects that.
//   - What a process has invalidated, it does not serve again, unless a Logout has
//     begun since, and not ended.
//   - One process logs the identity in at a time. Excepted is one that could take no lease, as
//     Redis failed, and one that takes over a lease which others have watched for its patience.
var model = porcupine.Model{
	Partition: partition,
	Init:      func() any { return state{} },
	Step: func(s, e, _ any) (bool, any) {
		return s.(state).step(e.(event))
	},
	Equal:             func(a, b any) bool { return a.(state).equal(b.(state)) },
	DescribeOperation: func(e, _ any) string { return e.(event).String() },
}

// partition is the history of each identity. That a process is killed is in all of them.
func partition(all []porcupine.Operation) (parts [][]porcupine.Operation) {
	identities := map[string][]porcupine.Operation{}
	for _, o := range all {
		if who := o.Input.(event).identity; who != "" {
			identities[who] = nil
		}
	}
	for who := range identities {
		isOther := func(o porcupine.Operation) bool {
			e := o.Input.(event)
			return e.identity != who && e.kind != killed
		}
		parts = append(parts, slices.DeleteFunc(slices.Clone(all), isOther))
	}
	return parts
}

// String has no token in it, but what tells one from others.
func (e event) String() string {
	text := fmt.Sprintf("%s %s %s", e.process, e.kind, e.identity)
	for _, t := range e.tokens {
		text += " " + t[:min(len(t), 6)]
	}
	return text
}

// check returns what is wrong with the history; "" if nothing is.
func (h *history) check(limit time.Duration) (wrong string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, part := range partition(h.operations) {
		result, info := porcupine.CheckOperationsVerbose(model, part, limit)
		switch result {
		case porcupine.Unknown:
			wrong += "it takes too long to check\n"
		case porcupine.Illegal:
			wrong += explain(part, info.PartialLinearizationsOperations()[0])
		}
	}
	return wrong
}

// explain names what the model could not explain, and what went before it.
func explain(part []porcupine.Operation, orders [][]porcupine.Operation) string {
	longest := slices.MaxFunc(append(orders, nil), func(a, b []porcupine.Operation) int {
		return len(a) - len(b)
	})
	explained := map[int64]bool{}
	for _, o := range longest {
		explained[o.Call] = true
	}
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return int(a.Return - b.Return) })
	odd := slices.IndexFunc(part, func(o porcupine.Operation) bool { return !explained[o.Call] })
	text := "this can not be:\n"
	for _, o := range part[max(odd-25, 0) : odd+1] {
		text += fmt.Sprintf("%8d to %d: %v\n", o.Call, o.Return, o.Input)
	}
	return text
}
