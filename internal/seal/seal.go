// Package seal makes values that open only under the name they were sealed for, with one of
// several keys. A Keyring is safe for concurrent use.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
)

// KeySize is the length of a key in bytes: AES-256.
const KeySize = 32

// Keyring seals with its first key, and opens with all.
type Keyring struct {
	keys []cipher.AEAD
}

// New takes keys of KeySize bytes.
func New(keys [][]byte) *Keyring {
	k := &Keyring{}
	for _, key := range keys {
		k.keys = append(k.keys, newAEAD(key))
	}
	return k
}

// newAEAD puts a random nonce before what it seals.
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for a key of another size
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a block that is not AES
	}
	return aead
}

// Seal returns text as a value that opens under name only. It is another one each time.
func (k *Keyring) Seal(name string, text []byte) []byte {
	return k.keys[0].Seal(nil, nil, text, []byte(name))
}

// ErrSealed is what Open returns for a value that no key opens.
var ErrSealed = errors.New("it was sealed with another key, or for another name, or was changed")

// Open returns the text of a value that Seal made for name, with any of the keys.
func (k *Keyring) Open(name string, value []byte) ([]byte, error) {
	for _, key := range k.keys {
		if text, err := key.Open(nil, nil, value, []byte(name)); err == nil {
			return text, nil
		}
	}
	return nil, ErrSealed
}
