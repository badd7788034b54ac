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
	ID   string // Looker's id of a user; "" for all others
	Kind Kind
}

// Kind is a kind of identity.
type Kind uint8

const (
	Nobody Kind = iota
	ServiceAccount
	User
)

// String is unambiguous.
func (k Key) String() string {
	switch k.Kind {
	case ServiceAccount:
		return "service_account"
	case User:
		return "user:" + k.ID
	}
	return "nobody"
}

// Slot is where one holder of an identity keeps its token, so that it need not be looked up. Every
// token has one, for those who look it up.
type Slot struct {
	key  Key
	held atomic.Pointer[Token] // it says itself when it is out of date
}

// newSlot returns an empty Slot. The key may be a piece of something large, which it does not keep.
func newSlot(key Key) *Slot {
	key.ID = strings.Clone(key.ID)
	return &Slot{key: key}
}

// Key returns whose token the Slot is for.
func (s *Slot) Key() Key { return s.key }

// Hold keeps t, which is the token of the Slot's identity.
func (s *Slot) Hold(t *Token) { s.held.Store(t) }
