package token

import (
	"math/rand/v2"
	"testing"
)

// collide returns n keys that all want one of three places that follow each other, and wrap around
// the end of a table of up to 1024.
func collide(x *index, n int) (keys []Key) {
	for i := 0; len(keys) < n; i++ {
		if place := (x.hash(user(i)) + 2) % 1024; place < 3 {
			keys = append(keys, user(i))
		}
	}
	return keys
}

// twins returns two keys with the same hash.
func twins(x *index) (a, b Key) {
	seen := make(map[uint32]Key)
	for i := 0; ; i++ {
		b = user(i)
		hash := x.hash(b)
		if a, ok := seen[hash]; ok {
			return a, b
		}
		seen[hash] = b
	}
}

// checkIndex looks all keys up; model has the tokens of those that are in.
func checkIndex(t *testing.T, x *index, keys []Key, model map[Key]*Token) {
	t.Helper()
	for _, key := range keys {
		if got := x.get(key); got != model[key] {
			t.Fatalf("%v has %v, want %v", key, got, model[key])
		}
	}
	if x.n != len(model) {
		t.Fatalf("it counts %d tokens, want %d", x.n, len(model))
	}
	if table := *x.table.Load(); 2*x.n > len(table) {
		t.Fatalf("%d tokens are in a table of %d", x.n, len(table))
	}
}

func TestIndexIsLikeAMap(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		x, model := newIndex(), make(map[Key]*Token)
		// Few keys stay in a table of the least size; more let it grow. Either fills and empties.
		keys := collide(x, []int{4, 12, 40}[seed%3])
		for range 20 {
			fill := random.IntN(11)
			for range 3 * len(keys) {
				key := keys[random.IntN(len(keys))]
				if random.IntN(10) < fill {
					model[key] = issue(key, 0)
					x.put(model[key])
				} else if t := model[key]; t != nil {
					x.remove(t)
					delete(model, key)
				}
				checkIndex(t, x, keys, model)
			}
		}
	}
}

func TestKeysWithTheSameHashHaveTokensOfTheirOwn(t *testing.T) {
	x, model := newIndex(), make(map[Key]*Token)
	a, b := twins(x)
	keys := []Key{a, b}
	for _, key := range []Key{a, b, a} {
		model[key] = issue(key, 0)
		x.put(model[key])
		checkIndex(t, x, keys, model)
	}
	x.remove(model[a])
	delete(model, a)
	checkIndex(t, x, keys, model)
}

func TestKeysOfSeveralKindsHaveTokensOfTheirOwn(t *testing.T) {
	x, model := newIndex(), make(map[Key]*Token)
	keys := []Key{{}, service(), {Kind: User}, user(1)}
	checkIndex(t, x, keys, model)
	for _, key := range keys {
		model[key] = issue(key, 0)
		x.put(model[key])
		checkIndex(t, x, keys, model)
	}
}

// A million tokens need a table of 2 MiB pointers, and no more.
func TestIndexGrowsOnlyWhenHalfFull(t *testing.T) {
	x := newIndex()
	size := len(*x.table.Load())
	for i := range 1000 {
		x.put(issue(user(i), 0))
		if 2*(i+1) > size {
			size *= 2
		}
		if got := len(*x.table.Load()); got != size {
			t.Fatalf("the table of %d tokens has %d places, want %d", i+1, got, size)
		}
	}
	for i := range 1000 {
		if x.get(user(i)) == nil {
			t.Errorf("%v was lost", user(i))
		}
	}
}
