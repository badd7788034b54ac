// Package filestore shares lookerauth's tokens between the processes of one machine through a
// folder: a command that runs every five minutes then logs in once an hour.
//
//	store, err := filestore.Open(dir)
//	cfg.Store = store
//	cfg.StoreKeys = store.Keys()
//
// cfg is a [lookerauth.Config]. Values are sealed. Names are hashes of what can be guessed:
// Looker's address, the API key's client id, and the user's id.
package filestore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/lookerauth/lookerauth"
)

// Store is a [lookerauth.Store] in a folder. Get one with [Open], as the zero Store is of no use.
// It is safe for concurrent use, as is the folder, by any number of processes and Stores. Nothing
// must be closed.
//
// Each operation locks the folder, for the moment that it takes, and checks it as [Open] does. It
// waits for the lock until its context ends. A swap that writes a value replaces its file, and
// looks at a few other files, to remove those with values that have expired.
//
// Files are not flushed to the disk. One that was torn as the machine went down has no value, nor
// has one that this package has not written, or that others own or may read. A link, pipe or device
// is neither followed nor opened. A swap replaces it.
type Store struct {
	folder *folder
	key    []byte
}

var _ lookerauth.Store = (*Store)(nil)

const (
	openTimeout = 5 * time.Second // for who makes a key
	keySize     = 32
	keyFile     = "key"
	maxSize     = 8 << 10 // of a value
)

// Open opens the folder, and makes it if it is not there. The folder should be on a disk of this
// machine, and where nothing is deleted by age: in [os.UserCacheDir], say. Have nothing else in it:
// files named as the Store's own are replaced, and removed.
//
// It is an error if dir is empty or a link, or if others own the folder or may write to it; on
// Windows that is not checked, so choose a folder in your profile. Looking into folders above it is
// your part: who may write there can put another one in its place, which is then refused.
//
// On a full disk Open succeeds, and the operations fail: a [lookerauth.Cache] goes on without.
func Open(dir string) (*Store, error) {
	if dir == "" { // which would be the current one
		return nil, errors.New("filestore: open: give a folder")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("filestore: open: %w", err)
	}
	s := &Store{folder: newFolder(dir)}
	s.key, err = s.findKey()
	switch {
	case isFull(err):
		s.key = newKey()
	case err != nil:
		return nil, fmt.Errorf("filestore: open: %w", err)
	}
	return s, nil
}

// Keys returns what to set [lookerauth.Config.StoreKeys] to: a random key that the first Open has
// put into the folder. All who open the folder have the same, but for one that found the disk full.
// They are a copy, and yours. It does not block.
//
// It protects values that get out of the folder without it: a copy of some files, or what is left
// of them on a disk. Whoever has a copy of the whole folder, or your account's rights, has the
// tokens until they expire. If that is too much, set a key that you keep elsewhere.
func (s *Store) Keys() [][]byte { return [][]byte{bytes.Clone(s.key)} }

// findKey returns the folder's key. It waits for nobody unless there is none.
func (s *Store) findKey() (key []byte, err error) {
	if err := s.folder.prepare(); err != nil {
		return nil, err
	}
	if key, err = s.readKey(); key != nil || err != nil {
		return key, err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), openTimeout, errLocked)
	defer cancel()
	err = s.folder.locked(ctx, func() error {
		if key, err = s.readKey(); key != nil || err != nil {
			return err
		}
		key = newKey()
		return s.folder.write(keyFile, key, true)
	})
	return key, err
}

func (s *Store) readKey() ([]byte, error) {
	key, err := s.folder.read(keyFile, keySize)
	if len(key) != keySize {
		return nil, err
	}
	return key, nil
}

// keepKey puts the key back, as the folder may have been removed, or full when this one opened it:
// who opens it from now on has the same. Without it the values serve those who are there.
func (s *Store) keepKey() {
	if key, err := s.readKey(); key == nil && err == nil {
		_ = s.folder.write(keyFile, s.key, true)
	}
}

func newKey() []byte {
	key := make([]byte, keySize)
	rand.Read(key) // which never fails
	return key
}

// Get implements [lookerauth.Store].
func (s *Store) Get(ctx context.Context, name string) (value []byte, err error) {
	err = s.folder.locked(ctx, func() error {
		value, err = s.folder.value(fileOf(name))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("filestore: get: %w", err)
	}
	return value, nil
}

// CompareAndSwap implements [lookerauth.Store]. A ttl is rounded up to milliseconds.
func (s *Store) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) (now []byte, err error) {
	if len(next) > maxSize {
		return nil, fmt.Errorf("filestore: swap: a value of %d bytes, at most %d are kept",
			len(next), maxSize)
	}
	file := fileOf(name)
	err = s.folder.locked(ctx, func() error {
		now, err = s.folder.value(file)
		if err != nil || !bytes.Equal(now, old) {
			return err
		}
		now = bytes.Clone(next)
		if len(next) == 0 {
			return s.folder.remove(file)
		}
		s.keepKey()
		s.folder.sweep()
		return s.folder.write(file, stamp(next, time.Now(), ttl), false)
	})
	if err != nil {
		return nil, fmt.Errorf("filestore: swap: %w", err)
	}
	return now, nil
}

const suffix = ".value"

// fileOf is the name of the file with the value of name, which is another one for each name where
// case does not matter, too.
func fileOf(name string) string { return hex.EncodeToString([]byte(name)) + suffix }
