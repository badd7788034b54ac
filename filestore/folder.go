package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// folder is the files. All but prepare and locked are for who holds the lock, and read, which finds
// a file as it was before a write or after it.
type folder struct {
	dir     string
	turn    chan struct{} // full while a call of this process's has the lock, or waits for it
	lock    *flock.Flock  // guarded by turn
	unswept []string      // files of values that sweep has not looked at; guarded by turn
}

const (
	lockFile  = "lock"
	nextFile  = "next" // becomes another one when it is written
	lockPause = time.Millisecond
)

func newFolder(dir string) *folder {
	lock := filepath.Join(dir, lockFile)
	return &folder{
		dir:  dir,
		turn: make(chan struct{}, 1),
		lock: flock.New(lock, flock.SetFlag(os.O_CREATE|os.O_RDONLY|dontFollow)),
	}
}

func (f *folder) path(file string) string { return filepath.Join(f.dir, file) }

// prepare makes the folder if it is not there, and is an error if it is not this user's alone.
func (f *folder) prepare() error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(f.dir)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a link: give the folder that it leads to", f.dir)
	case !isOwn(info):
		return fmt.Errorf("%s belongs to another user: give a folder of your own", f.dir)
	case othersMay(info, 0o022):
		return fmt.Errorf("others may write to %s, and may have: give another folder, or delete "+
			"it if nothing else is in it", f.dir)
	}
	return nil
}

// errLocked is the cause if nobody can have the lock.
var errLocked = errors.New("another process holds the lock of the folder: end it if it is stopped")

// locked runs what while nobody else, in whatever process, does so.
func (f *folder) locked(ctx context.Context, what func() error) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := f.prepare(); err != nil {
		return err
	}
	ok, err := f.lock.TryLockContext(ctx, lockPause)
	switch {
	case ok:
		defer f.lock.Unlock()
		return what()
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// value returns the value in a file; nil if there is none.
func (f *folder) value(file string) ([]byte, error) {
	content, err := f.read(file, stampSize+maxSize)
	if err != nil {
		return nil, err
	}
	return stamped(content, time.Now()), nil
}

// read returns the content of a file, which has size bytes at most; nil if there is none that write
// made.
func (f *folder) read(file string, size int) ([]byte, error) {
	path := f.path(file)
	info, err := os.Lstat(path)
	if err != nil || !isPrivate(info) {
		return nil, unlessMissing(err)
	}
	opened, err := os.OpenFile(path, os.O_RDONLY|dontFollow, 0)
	if err != nil {
		return nil, unlessMissing(err)
	}
	defer opened.Close()
	if info, err = opened.Stat(); err != nil || !isPrivate(info) {
		return nil, err
	}
	// Of a longer file this is a part, whose checksum is wrong.
	text, err := io.ReadAll(io.LimitReader(opened, int64(headSize+size)+1))
	if err != nil {
		return nil, err
	}
	return unpack(file, text), nil
}

// isPrivate reports whether only this user can have written the file, or read it.
func isPrivate(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && isOwn(info) && !othersMay(info, 0o077)
}

// unlessMissing returns err, unless that says that there is no file to be read.
func unlessMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// write makes this the content of a file, as one step. With flush it is so after the machine went
// down, too.
func (f *folder) write(file string, content []byte, flush bool) (err error) {
	next := f.path(nextFile)
	if err := f.remove(nextFile); err != nil { // of one who was killed
		return err
	}
	opened, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = opened.Write(pack(file, content))
	if err == nil && flush {
		err = opened.Sync()
	}
	err = errors.Join(err, opened.Close())
	if err == nil {
		err = f.rename(next, f.path(file))
	}
	if err != nil {
		_ = f.remove(nextFile) // or whoever writes next does
	}
	return err
}

// rename replaces what has the new path, be that an empty folder.
func (f *folder) rename(from, to string) error {
	err := os.Rename(from, to)
	if err != nil && os.Remove(to) == nil {
		err = os.Rename(from, to)
	}
	return err
}

func (f *folder) remove(file string) error {
	if err := os.Remove(f.path(file)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweepWidth is how many files each write looks at. As that is more than one, the files of values
// that have expired are not many more than were ever in use.
const sweepWidth = 4

// sweep removes the next few files that have no value, if they have none. The files are looked at
// in random order, as a process may write little.
func (f *folder) sweep() {
	if len(f.unswept) == 0 {
		f.unswept = f.list()
	}
	rest := max(0, len(f.unswept)-sweepWidth)
	for _, file := range f.unswept[rest:] {
		if value, err := f.value(file); err == nil && value == nil {
			_ = f.remove(file) // it may be a folder that is not empty
		}
	}
	f.unswept = f.unswept[:rest]
}

// list returns the files of values.
func (f *folder) list() (files []string) {
	dir, err := os.Open(f.dir)
	if err != nil {
		return nil // it is for the operation to notice
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if strings.HasSuffix(name, suffix) {
			files = append(files, name)
		}
	}
	rand.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	return files
}
