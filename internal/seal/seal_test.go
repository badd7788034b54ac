package seal_test

import (
	"bytes"
	"crypto/aes"
	"slices"
	"sync"
	"testing"

	"github.com/lookerauth/lookerauth/internal/seal"
)

const name = "lookerauth-0123"

// key returns a key, another one for each letter.
func key(letter byte) []byte { return bytes.Repeat([]byte{letter}, seal.KeySize) }

var text = []byte(`{"access_token":"4QDkCyCtZzYgj4C2p2cj3csJH7zqS5RzKs2kTnG4"}`)

func checkOpens(t *testing.T, k *seal.Keyring, name string, value, want []byte) {
	t.Helper()
	got, err := k.Open(name, value)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func checkSealed(t *testing.T, k *seal.Keyring, name string, value []byte) {
	t.Helper()
	if got, err := k.Open(name, value); err != seal.ErrSealed || got != nil {
		t.Errorf("got %q, %v, want ErrSealed", got, err)
	}
}

func TestSealedTextOpensUnderItsName(t *testing.T) {
	k := seal.New([][]byte{key('a')})
	for _, text := range [][]byte{text, {}, {0}, bytes.Repeat([]byte{'x'}, 1<<16)} {
		checkOpens(t, k, name, k.Seal(name, text), text)
	}
}

func TestSealedTextOpensUnderNoOtherName(t *testing.T) {
	k := seal.New([][]byte{key('a')})
	value := k.Seal(name, text)
	for _, other := range []string{"", name + "4", name[1:], "lookerauth-0124"} {
		checkSealed(t, k, other, value)
	}
}

func TestSealedTextOpensWithAnyOfTheKeys(t *testing.T) {
	value := seal.New([][]byte{key('a')}).Seal(name, text)
	for _, letters := range []string{"a", "ab", "ba", "bca"} {
		checkOpens(t, keyring(letters), name, value, text)
	}
	for _, letters := range []string{"b", "bc"} {
		checkSealed(t, keyring(letters), name, value)
	}
}

func TestTheFirstKeySeals(t *testing.T) {
	value := keyring("ab").Seal(name, text)
	checkOpens(t, keyring("a"), name, value, text)
	checkSealed(t, keyring("b"), name, value)
}

// keyring has a key for each letter.
func keyring(letters string) *seal.Keyring {
	var keys [][]byte
	for _, letter := range []byte(letters) {
		keys = append(keys, key(letter))
	}
	return seal.New(keys)
}

func TestChangedValueDoesNotOpen(t *testing.T) {
	k := seal.New([][]byte{key('a')})
	value := k.Seal(name, text)
	for i := range value {
		changed := slices.Clone(value)
		changed[i] ^= 1
		checkSealed(t, k, name, changed)
		checkSealed(t, k, name, value[:i])
	}
	checkSealed(t, k, name, append(slices.Clone(value), 0))
	checkSealed(t, k, name, nil)
}

func TestEachValueIsAnotherOne(t *testing.T) {
	k := seal.New([][]byte{key('a')})
	if first, second := k.Seal(name, text), k.Seal(name, text); bytes.Equal(first, second) {
		t.Errorf("twice %x", first)
	}
}

func TestValueShowsNeitherTextNorName(t *testing.T) {
	value := seal.New([][]byte{key('a')}).Seal(name, text)
	for _, hidden := range [][]byte{text, text[:16], []byte(name)} {
		if bytes.Contains(value, hidden) {
			t.Errorf("%q contains %q", value, hidden)
		}
	}
}

func TestOpenLeavesTheValueAlone(t *testing.T) {
	k := keyring("ba")
	value := keyring("a").Seal(name, text)
	before := slices.Clone(value)
	for range 2 {
		checkOpens(t, k, name, value, text)
	}
	if !bytes.Equal(value, before) {
		t.Error("it changed the value")
	}
}

func TestNewPanicsSayingWhichSizeIsNoKeys(t *testing.T) {
	for _, size := range []int{0, 1, seal.KeySize - 1, seal.KeySize + 1} {
		func() {
			defer func() {
				if got := recover(); got != aes.KeySizeError(size) {
					t.Errorf("a key of %d bytes: panicked with %v", size, got)
				}
			}()
			seal.New([][]byte{key('a'), make([]byte, size)})
		}()
	}
}

// The race detector looks.
func TestKeyringIsSafeForConcurrentUse(t *testing.T) {
	k := keyring("ab")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { checkOpens(t, k, name, k.Seal(name, text), text) })
	}
	wg.Wait()
}
