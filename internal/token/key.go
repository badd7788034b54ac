// Package token holds tokens: one for each identity, with the times that decide what it is good
// for, and what is alive at Looker besides. It changes their state, says what has to be ended
// there, and ends nothing itself.
package token

import (
	"strings"
	"sync/atomic"
)

// Key is whose a token is. It is comparable. The zero Key is nobody's.
type Key struct {
	ID   string // of a User, Looker's own; of a Credential, its type, a colon and its id
	Kind Kind
}

// Kind is a kind of identity.
type Kind uint8

const (
	Nobody Kind = iota
	ServiceAccount
	User
	Credential // a user who is known by one
)

// String is unambiguous.
func (k Key) String() string {
	switch k.Kind {
	case ServiceAccount:
		return "service_account"
	case User:
		return "user:" + k.ID
	case Credential:
		return k.ID
	}
	return "nobody"
}

// Slot is where one holder of an identity keeps its token, so that it need not be looked up. Every
// token has one, for those who look it up.
type Slot struct {
	id    string
	held  atomic.Pointer[Token] // it says itself when it is out of date
	start [shortID]byte         // of id, and mostly all of it
	kind  Kind
}

// shortID is the length of an id that is compared without a look behind a pointer, which takes
// longer than all else. Looker's own ids are numbers.
const shortID = 7

func (s *Slot) init(key Key) {
	s.id, s.kind = key.ID, key.Kind
	copy(s.start[:], s.id)
}

// newSlot returns an empty Slot. The key may be a piece of something large, which it does not keep.
func newSlot(key Key) *Slot {
	s := &Slot{}
	s.init(Key{strings.Clone(key.ID), key.Kind})
	return s
}

// Key returns whose token the Slot is for.
func (s *Slot) Key() Key { return Key{s.id, s.kind} }

// isOf reports whether the Slot is for this key.
func (s *Slot) isOf(key Key) bool {
	if len(key.ID) != len(s.id) || key.Kind != s.kind {
		return false
	}
	if len(key.ID) <= shortID {
		return string(s.start[:len(key.ID)]) == key.ID
	}
	return s.id == key.ID
}

// Hold keeps t, which is the token of the Slot's identity.
func (s *Slot) Hold(t *Token) { s.held.Store(t) }
