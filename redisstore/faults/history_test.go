//go:build unix

package faults

import (
	"testing"
	"time"
)

// story is a history that is written down.
type story []told

type told struct {
	from, to int64
	event
}

func (s story) check() string {
	var h history
	for _, one := range s {
		h.now = max(h.now, one.to)
		h.end(one.from, one.event)
		h.operations[len(h.operations)-1].Return = one.to
	}
	return h.check(guard)
}

const ann, bob = "user:ann", "user:bob"

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// login is one from a time to another one, by a process that has the lease since so many seconds.
func login(from, to int64, process, who, token string, leased float64) story {
	at := noon.Add(time.Duration(from) * time.Second)
	since := noon.Add(time.Duration(leased * float64(time.Second)))
	e := event{process: process, identity: who, number: int(from), at: at, leased: since}
	begin, end := e, e
	begin.kind, end.kind, end.tokens = begins, ends, []string{token}
	return story{{from, from, begin}, {to, to, end}}
}

func does(from, to int64, process string, kind kind, who string, tokens ...string) story {
	return story{{from, to, event{kind: kind, process: process, identity: who, tokens: tokens}}}
}

// logOut is one from a time to another one.
func logOut(from, to int64, end kind, process, who string, tokens ...string) story {
	e := event{kind: logout, process: process, identity: who, number: int(from)}
	last := e
	last.kind, last.tokens = end, tokens
	return story{{from, from, e}, {to, to, last}}
}

func stories(all ...story) (whole story) {
	for _, s := range all {
		whole = append(whole, s...)
	}
	return whole
}

func TestModelKnowsWhatCanNotBe(t *testing.T) {
	annsT := login(1, 3, "one", ann, "T", 0)
	served := does(2, 4, "one", serves, ann, "T")
	bad := map[string]story{
		"a token that is nobody's": does(1, 2, "one", serves, ann, "T"),
		"a user's token for another": stories(annsT, served,
			login(5, 6, "one", bob, "B", 4), does(7, 8, "two", serves, bob, "T")),
		"a token before it is issued": stories(does(1, 2, "one", serves, ann, "T"),
			login(3, 4, "one", ann, "T", 0)),
		"a token after its Logout": stories(annsT, served,
			logOut(5, 6, logsOut, "one", ann, "T"), does(7, 8, "one", serves, ann, "T")),
		"… although Looker was not told": stories(annsT, served,
			logOut(5, 6, logsOut, "one", ann), does(7, 8, "one", serves, ann, "T")),
		"… which was another process's": stories(annsT, served,
			logOut(5, 6, logsOut, "two", ann, "T"), does(7, 8, "two", serves, ann, "T")),
		"… to a process that had none": stories(annsT, served,
			logOut(5, 6, logsOut, "one", ann, "T"), does(7, 8, "two", serves, ann, "T")),
		"… to one that had already another": stories(annsT, served,
			does(5, 6, "two", serves, ann, "T"), login(7, 8, "two", ann, "U", 6),
			does(9, 10, "two", serves, ann, "U"), logOut(11, 12, logsOut, "one", ann, "T"),
			does(13, 14, "two", serves, ann, "T")),
		"… or that was invalidated before": stories(annsT, served,
			does(5, 6, "one", invalidates, ann, "T"), logOut(7, 8, logsOut, "one", ann),
			does(9, 10, "one", serves, ann, "T")),
		"… and whose Logout failed afterwards": stories(annsT, served,
			logOut(5, 6, logsOut, "one", ann, "T"), logOut(7, 8, fails, "one", ann),
			does(9, 10, "one", serves, ann, "T")),
		"a token that was invalidated": stories(annsT, served,
			does(5, 6, "one", invalidates, ann, "T"), does(7, 8, "one", serves, ann, "T")),
		"two logins at once": stories(annsT, login(2, 4, "two", ann, "U", 1)),
		"… of one process":   stories(annsT, login(2, 4, "one", ann, "U", 1)),
		"… a moment before the lease is over": stories(login(1, 9, "one", ann, "T", 0.5),
			login(5, 8, "two", ann, "U", 5)),
		"a login that a killed one did not make": stories(annsT, login(2, 4, "two", ann, "U", 1),
			does(2, 2, "three", killed, "")),
	}
	for name, s := range bad {
		if s.check() == "" {
			t.Errorf("%s: the model takes it", name)
		}
	}
}

func TestModelTakesWhatCanBe(t *testing.T) {
	annsT := login(1, 3, "one", ann, "T", 0)
	served := does(2, 4, "one", serves, ann, "T")
	good := map[string]story{
		"a token for several processes": stories(annsT, served,
			does(2, 5, "two", serves, ann, "T"), does(6, 7, "two", serves, ann, "T")),
		"a token during its Logout": stories(annsT, served,
			logOut(5, 8, logsOut, "one", ann, "T"), does(6, 9, "one", serves, ann, "T"),
			does(5, 7, "two", serves, ann, "T")),
		"what a process has, after another one's Logout": stories(annsT, served,
			does(5, 6, "two", serves, ann, "T"), logOut(7, 8, logsOut, "one", ann, "T"),
			does(9, 10, "two", serves, ann, "T")),
		"another token after Logout": stories(annsT, served,
			logOut(5, 6, logsOut, "one", ann, "T"), login(7, 9, "two", ann, "U", 6),
			does(8, 10, "one", serves, ann, "U")),
		"what others have, after Invalidate": stories(annsT, served,
			does(5, 6, "two", serves, ann, "T"), does(7, 8, "one", invalidates, ann, "T"),
			does(9, 10, "two", serves, ann, "T")),
		"what was invalidated, after a Logout that failed": stories(annsT, served,
			does(5, 6, "one", invalidates, ann, "T"), logOut(5, 8, fails, "one", ann),
			does(9, 10, "one", serves, ann, "T")),
		"what was invalidated, while a Logout is under way": stories(annsT, served,
			does(5, 6, "one", invalidates, ann, "T"), logOut(7, 10, logsOut, "one", ann, "T"),
			does(8, 9, "one", serves, ann, "T")),
		"logins of two users at once": stories(annsT, login(2, 4, "two", bob, "B", 1)),
		"a lease that is taken over": stories(login(1, 9, "one", ann, "T", 0),
			login(5, 8, "two", ann, "U", 5)),
		"a killed process's lease": stories(
			login(1, 3, "one", ann, "T", 0)[:1], does(2, 2, "one", killed, ""),
			login(3, 4, "two", ann, "U", 2)),
	}
	for name, s := range good {
		if wrong := s.check(); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
	}
	alone := login(2, 4, "two", ann, "U", 1)
	alone[0].leased = time.Time{}
	if wrong := stories(annsT, alone).check(); wrong != "" {
		t.Errorf("a login without a lease, as Redis failed: %s", wrong)
	}
}
