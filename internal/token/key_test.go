package token

import (
	"testing"
	"unsafe"
)

func TestKeyIsPrintedWithoutDoubt(t *testing.T) {
	for key, want := range map[Key]string{
		{}:                         "nobody",
		{Kind: ServiceAccount}:     "service_account",
		{ID: "789", Kind: User}:    "user:789",
		{ID: "nobody", Kind: User}: "user:nobody",
	} {
		if got := key.String(); got != want {
			t.Errorf("%#v is printed as %q, want %q", key, got, want)
		}
	}
}

func TestZeroKeyIsNobody(t *testing.T) {
	if (Key{}).Kind != Nobody || Nobody == ServiceAccount || Nobody == User {
		t.Error("the zero Key is somebody")
	}
}

func TestSlotDoesNotKeepWhatItsKeyIsAPieceOf(t *testing.T) {
	large := "id=789&a lot more"
	key := Key{ID: large[3:6], Kind: User}
	slot := NewLRU(1, 0).Slot(key)
	if slot.Key() != key {
		t.Errorf("the slot is for %v, want %v", slot.Key(), key)
	}
	if unsafe.StringData(slot.Key().ID) == unsafe.StringData(key.ID) {
		t.Error("the slot's id is a piece of the large string")
	}
}

func TestSlotOfUnknownKeyIsEmpty(t *testing.T) {
	l := NewLRU(1, 0)
	slot := l.Slot(user(1))
	if l.Fresh(slot, at(0)) != nil || l.Current(slot) != nil {
		t.Error("a slot has a token before there was one")
	}
}

func TestSlotServesWhatItHolds(t *testing.T) {
	l := NewLRU(1, 0)
	slot := l.Slot(user(1))
	first := put(t, l, issue(user(1), 0))
	slot.Hold(first)
	if l.Fresh(slot, at(0)) != first {
		t.Error("the slot does not serve the token that it holds")
	}
	put(t, l, issue(user(1), 0))
	if l.Fresh(slot, at(0)) != nil {
		t.Error("the slot serves a token that was replaced")
	}
}

func TestSlotFollowsItsIdentity(t *testing.T) {
	l := NewLRU(1, 0)
	slot := l.Slot(user(1))
	for range 3 {
		next := put(t, l, issue(user(1), 0))
		if l.Current(slot) != next || l.Fresh(slot, at(0)) != next {
			t.Error("the slot did not get the next token of its identity")
		}
	}
}

// A token's own slot saves an allocation for each look-up.
func TestSlotOfKnownKeyIsThatOfItsToken(t *testing.T) {
	l := NewLRU(1, 0)
	known := put(t, l, issue(user(1), 0))
	if l.Fresh(l.Slot(user(1)), at(0)) != known {
		t.Error("the slot of a known key does not hold its token")
	}
	key := user(1)
	if n := testing.AllocsPerRun(100, func() { l.Fresh(l.Slot(key), at(0)) }); n != 0 {
		t.Errorf("looking a known user up costs %v allocations", n)
	}
}
