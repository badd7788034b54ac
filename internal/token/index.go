package token

import (
	"hash/maphash"
	"sync/atomic"
)

// index finds the token of a key. It is a hash table with linear probing, at most half full.
//
// Looking up takes no lock, and writes nothing, so cores do not wait for each other. It may miss a
// token that is being moved, and then has to be done again under the lock that changes are made
// under. A map with a lock costs two cores more than twice as much, and sync.Map 70 bytes a token.
type index struct {
	seed  maphash.Seed
	table atomic.Pointer[[]atomic.Pointer[Token]] // its length is a power of two
	n     int                                     // tokens in it; guarded by the lock of the LRU
}

const minTable = 8

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed()}
	table := make([]atomic.Pointer[Token], minTable)
	x.table.Store(&table)
	return x
}

func (x *index) hash(key Key) uint32 {
	return uint32(maphash.String(x.seed, key.ID)) + uint32(key.Kind)
}

// get returns the key's token; nil if there is none.
func (x *index) get(key Key) *Token {
	_, t := probe(*x.table.Load(), key, x.hash(key))
	return t
}

// probe returns the key's token and its place in the table; or nil, and the place where it belongs.
// Without the lock the place may have another token a moment later.
func probe(table []atomic.Pointer[Token], key Key, hash uint32) (i uint32, t *Token) {
	mask := uint32(len(table) - 1)
	for i = hash & mask; ; i = (i + 1) & mask {
		t = table[i].Load()
		if t == nil || t.slot.isOf(key) {
			return i, t
		}
	}
}

// put makes t the token of its key. The lock is held, here and below.
func (x *index) put(t *Token) {
	key := t.Key()
	hash := x.hash(key)
	table := *x.table.Load()
	i, before := probe(table, key, hash)
	if before == nil {
		x.n++
	}
	if 2*x.n > len(table) {
		table = x.grow(table)
		i, _ = probe(table, key, hash)
	}
	table[i].Store(t)
}

// grow doubles the table.
func (x *index) grow(old []atomic.Pointer[Token]) []atomic.Pointer[Token] {
	table := make([]atomic.Pointer[Token], 2*len(old))
	for i := range old {
		if t := old[i].Load(); t != nil {
			j, _ := probe(table, t.Key(), x.hash(t.Key()))
			table[j].Store(t)
		}
	}
	x.table.Store(&table)
	return table
}

// remove takes t, which is in the table, out of it. Those behind it that would not be found any
// more, as they gave way to it, move up.
func (x *index) remove(t *Token) {
	x.n--
	table := *x.table.Load()
	mask := uint32(len(table) - 1)
	gap, _ := probe(table, t.Key(), x.hash(t.Key()))
	for i := (gap + 1) & mask; ; i = (i + 1) & mask {
		next := table[i].Load()
		if next == nil {
			break
		}
		// Probing for it comes by the gap if it has come at least as far as the gap is behind.
		if (i-x.hash(next.Key()))&mask >= (i-gap)&mask {
			table[gap].Store(next)
			gap = i
		}
	}
	table[gap].Store(nil)
}
