//go:build unix

package filestore_test

import (
	"bytes"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/filestore"
)

// pathOf is the path of the file with the value of name.
func pathOf(dir, name string) string {
	return filepath.Join(dir, hex.EncodeToString([]byte(name))+".value")
}

func TestFilesAreTheUsersAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(newDir(t), "in", "folders")
	store := open(t, dir)
	swap(t, store, "name", "", "first", "first")
	swap(t, store, "name", "first", "second", "second")
	for up := range 3 {
		wantMode(t, filepath.Join(dir, strings.Repeat("../", up)), fs.ModeDir|0o700)
	}
	for _, file := range []string{
		filepath.Join(dir, "key"), filepath.Join(dir, "lock"), pathOf(dir, "name"),
	} {
		wantMode(t, file, 0o600)
	}
	left, err := os.ReadDir(dir)
	if len(left) != 3 || err != nil {
		t.Errorf("files %v, %v", left, err)
	}
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	check(t, err)
	if info.Mode() != want {
		t.Errorf("%s is %v, want %v", path, info.Mode(), want)
	}
}

func TestFolderThatIsNotTheUsersAloneIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, dir string)
		says  string
	}{
		"group may write":  {chmod(0o770), "others may write to"},
		"others may write": {chmod(0o702), "others may write to"},
		"of another user":  {chown(12345), "belongs to another user"},
		"link": {func(t *testing.T, dir string) {
			check(t, os.Rename(dir, dir+"-target"))
			check(t, os.Symlink(dir+"-target", dir))
		}, "is a link"},
		"file": {func(t *testing.T, dir string) {
			check(t, os.RemoveAll(dir))
			check(t, os.WriteFile(dir, nil, 0o600))
		}, "not a directory"},
		"below a file": {func(t *testing.T, dir string) {
			check(t, os.RemoveAll(filepath.Dir(dir)))
			check(t, os.WriteFile(filepath.Dir(dir), nil, 0o600))
		}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			store := open(t, dir)
			swap(t, store, "name", "", "value", "value")
			test.spoil(t, dir)
			_, opening := filestore.Open(dir)
			_, getting := store.Get(t.Context(), "name")
			_, swapping := store.CompareAndSwap(
				t.Context(), "other", nil, []byte("value"), time.Hour)
			for _, err := range []error{opening, getting, swapping} {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("error %v, want %q in it", err, test.says)
				}
			}
		})
	}
}

func chmod(mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) { check(t, os.Chmod(path, mode)) }
}

func truncate(size int64) func(*testing.T, string) {
	return func(t *testing.T, path string) { check(t, os.Truncate(path, size)) }
}

func chown(uid int) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		if err := os.Lchown(path, uid, -1); err != nil {
			t.Skipf("nothing can be given to another user: %v", err)
		}
	}
}

func TestFolderThatOthersMayReadIsUsed(t *testing.T) {
	dir := newDir(t)
	check(t, os.Mkdir(dir, 0o755))
	swap(t, open(t, dir), "name", "", "value", "value")
}

// foreign are things that this package never puts in the place of a file, for the path of one with
// content.
var foreign = map[string]func(t *testing.T, path string){
	"link to another file": func(t *testing.T, path string) {
		check(t, os.Rename(path, path+"-target"))
		check(t, os.Symlink(path+"-target", path))
	},
	"link to nothing": func(t *testing.T, path string) {
		check(t, os.Remove(path))
		check(t, os.Symlink(path+"-target", path))
	},
	"link to itself": func(t *testing.T, path string) {
		check(t, os.Remove(path))
		check(t, os.Symlink(path, path))
	},
	"pipe": func(t *testing.T, path string) {
		check(t, os.Remove(path))
		check(t, syscall.Mkfifo(path, 0o600))
	},
	"device": func(t *testing.T, path string) {
		check(t, os.Remove(path))
		const endless = 1<<8 | 5 // Linux' /dev/zero
		if err := syscall.Mknod(path, syscall.S_IFCHR|0o600, endless); err != nil {
			t.Skipf("no device can be made: %v", err)
		}
	},
	"socket": func(t *testing.T, path string) {
		check(t, os.Remove(path))
		if err := syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0); err != nil {
			t.Skipf("no socket can be made: %v", err)
		}
	},
	"folder": func(t *testing.T, path string) {
		check(t, os.Remove(path))
		check(t, os.Mkdir(path, 0o700))
	},
	"file that others may read":  chmod(0o640),
	"file that others may write": chmod(0o602),
	"file without any rights":    chmod(0),
	"file of another user":       chown(12345),
	"empty file":                 truncate(0),
	"huge file":                  truncate(1 << 40),
	"text": func(t *testing.T, path string) {
		check(t, os.WriteFile(path, []byte("text"), 0o600))
	},
}

func TestForeignThingIsNoValueAndIsReplaced(t *testing.T) {
	for name, put := range foreign {
		for _, next := range []string{"next", ""} {
			t.Run(name+" for "+next, func(t *testing.T) {
				dir := newDir(t)
				store := open(t, dir)
				swap(t, store, "name", "", "value", "value")
				put(t, pathOf(dir, "name"))
				if name == "file without any rights" && os.Geteuid() == 0 {
					t.Skip("root may read it")
				}
				wantValue(t, store, "name", "")
				swap(t, store, "name", "value", "other", "")
				swap(t, store, "name", "", next, next)
				wantValue(t, store, "name", next)
				_, err := os.Lstat(pathOf(dir, "name"))
				if next != "" {
					wantMode(t, pathOf(dir, "name"), 0o600)
				} else if !os.IsNotExist(err) {
					t.Errorf("it is still there: %v", err)
				}
				if name == "link to nothing" {
					if _, err := os.Lstat(pathOf(dir, "name") + "-target"); err == nil {
						t.Error("the link was followed")
					}
				}
			})
		}
	}
}

// It may be what somebody wants to keep.
func TestFolderWithFilesInPlaceOfAValueIsAnErrorAndStays(t *testing.T) {
	dir := newDir(t)
	store := open(t, dir)
	file := filepath.Join(pathOf(dir, "name"), "file")
	check(t, os.MkdirAll(file, 0o700))
	wantValue(t, store, "name", "")
	for _, next := range []string{"value", ""} {
		now, err := store.CompareAndSwap(t.Context(), "name", nil, []byte(next), time.Hour)
		if err == nil {
			t.Errorf("swapped to %q", now)
		}
	}
	if _, err := os.Lstat(file); err != nil {
		t.Error(err)
	}
}

func TestForeignThingIsNoKeyAndIsReplaced(t *testing.T) {
	for name, put := range foreign {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			before := open(t, dir).Keys()[0]
			put(t, filepath.Join(dir, "key"))
			if name == "file without any rights" && os.Geteuid() == 0 {
				t.Skip("root may read it")
			}
			after := open(t, dir).Keys()[0]
			if bytes.Equal(before, after) || len(after) != 32 {
				t.Error("it is the key")
			}
			wantMode(t, filepath.Join(dir, "key"), 0o600)
			if again := open(t, dir).Keys()[0]; !bytes.Equal(again, after) {
				t.Error("the key is not kept")
			}
		})
	}
}

func TestForeignThingInPlaceOfTheLockHangsNobody(t *testing.T) {
	for name, put := range foreign {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			store := open(t, dir)
			lock := filepath.Join(dir, "lock")
			put(t, lock)
			if _, err := store.Get(t.Context(), "name"); err != nil {
				check(t, os.Remove(lock)) // the error names the file
			}
			swap(t, store, "name", "", "value", "value")
		})
	}
}

// What a machine that goes down leaves of a file is no value: any beginning of it, and any of it
// that is other bytes.
func TestTornValueIsNone(t *testing.T) {
	dir := newDir(t)
	store := open(t, dir)
	swap(t, store, "name", "", "value", "value")
	swap(t, store, "other", "", "another", "another")
	path := pathOf(dir, "name")
	whole, err := os.ReadFile(path)
	check(t, err)
	tear := func(file []byte) {
		t.Helper()
		check(t, os.WriteFile(path, file, 0o600))
		wantValue(t, store, "name", "")
	}
	for n := range whole {
		tear(whole[:n])
		tear(append(bytes.Clone(whole[:n]), make([]byte, len(whole)-n)...))
		changed := bytes.Clone(whole)
		changed[n] ^= 1
		tear(changed)
	}
	tear(append(whole, 0))
	another, err := os.ReadFile(pathOf(dir, "other"))
	check(t, err)
	tear(another)
	swap(t, store, "name", "", "value", "value")
	wantValue(t, store, "name", "value")
}

// One who was killed while it wrote leaves the beginning of a file.
func TestWhatAKilledWriterLeavesIsReplaced(t *testing.T) {
	for name, put := range foreign {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			store := open(t, dir)
			next := filepath.Join(dir, "next")
			check(t, os.WriteFile(next, []byte("the beginning"), 0o600))
			put(t, next)
			swap(t, store, "name", "", "value", "value")
			if _, err := os.Lstat(next); err == nil {
				t.Error("it is left")
			}
			wantMode(t, pathOf(dir, "name"), 0o600)
		})
	}
}
