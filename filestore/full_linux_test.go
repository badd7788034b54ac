package filestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/filestore"
	"github.com/lookerauth/lookerauth/lookertest"
)

// ownMounts is in the environment of a process in which disks can be mounted that nobody else sees.
const ownMounts = "FILESTORE_TEST_MOUNTS"

// withFullDisk runs this test in such a process, and there f, with a folder on a disk with room for
// some 16 KiB and 30 files. fill fills that, and returns what makes room again.
func withFullDisk(t *testing.T, f func(t *testing.T, disk string, fill func() (free func()))) {
	t.Helper()
	if os.Getenv(ownMounts) == "" {
		command := exec.CommandContext(
			t.Context(), os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
		command.Env = append(os.Environ(), ownMounts+"=1")
		command.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := command.CombinedOutput()
		if err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Skipf("this system allows no disk of the test's own: %v", err)
		}
		if err != nil || strings.Contains(string(out), "--- SKIP") {
			t.Log(string(out))
		}
		switch {
		case err != nil:
			t.Fail()
		case strings.Contains(string(out), "--- SKIP"):
			t.SkipNow()
		case !strings.Contains(string(out), "--- PASS"):
			t.Errorf("nothing ran:\n%s", out)
		}
		return
	}
	disk := t.TempDir()
	const room = "mode=700,size=16k,nr_inodes=32"
	if err := syscall.Mount("none", disk, "tmpfs", 0, room); err != nil {
		t.Skipf("this system allows no disk of the test's own: %v", err)
	}
	defer func() { check(t, syscall.Unmount(disk, syscall.MNT_DETACH)) }()
	f(t, disk, func() func() {
		filling := filepath.Join(disk, "filling")
		check(t, os.Mkdir(filling, 0o700))
		fill := func(size int) (err error) {
			for i := 0; err == nil; i++ {
				file := filepath.Join(filling, fmt.Sprintf("%d-%d", size, i))
				err = os.WriteFile(file, make([]byte, size), 0o600)
			}
			return err
		}
		for _, size := range []int{1 << 20, 0} {
			if err := fill(size); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("the disk is not full: %v", err)
			}
		}
		return func() { check(t, os.RemoveAll(filling)) }
	})
}

func TestFullDiskTearsNoValue(t *testing.T) {
	withFullDisk(t, func(t *testing.T, disk string, fill func() func()) {
		dir := filepath.Join(disk, "tokens")
		store := open(t, dir)
		swap(t, store, "name", "", "value", "value")
		free := fill()
		long := strings.Repeat("x", 8<<10)
		for name, old := range map[string]string{"name": "value", "other": ""} {
			_, err := store.CompareAndSwap(
				t.Context(), name, []byte(old), []byte(long), time.Hour)
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s: error %v", name, err)
			}
			wantValue(t, store, name, old)
		}
		if _, err := os.Lstat(filepath.Join(dir, "next")); err == nil {
			t.Error("what was written of the value is left")
		}
		swap(t, store, "name", "value", "", "") // deleting needs no room
		free()
		swap(t, store, "other", "", long, long)
		wantValue(t, store, "other", long)
	})
}

func TestOnAFullDiskEachRequestSucceeds(t *testing.T) {
	for name, dir := range map[string]string{"folder": "", "no folder": "tokens"} {
		t.Run(name, func(t *testing.T) { onAFullDisk(t, dir) })
	}
}

func onAFullDisk(t *testing.T, dir string) {
	withFullDisk(t, func(t *testing.T, disk string, fill func() func()) {
		free := fill()
		looker := lookertest.New(t)
		cfg := looker.Config()
		store, err := filestore.Open(filepath.Join(disk, dir))
		check(t, err)
		cfg.Store, cfg.StoreKeys = store, store.Keys()
		cache, err := lookerauth.New(cfg)
		check(t, err)
		for i := range 10 {
			_, err := cache.User(fmt.Sprint(i)).Token()
			check(t, err)
		}
		if cache.Stats().StoreErrors == 0 {
			t.Error("the disk was not full")
		}
		check(t, cache.Close(t.Context()))
		if n := looker.Count(lookertest.OpLoginUser, strconv.Itoa(0)); n != 1 {
			t.Errorf("%d logins of a user, want 1", n)
		}
		free()
		swap(t, store, "name", "", "value", "value")
		if !bytes.Equal(open(t, filepath.Join(disk, dir)).Keys()[0], store.Keys()[0]) {
			t.Error("who opens the folder when there is room has another key")
		}
	})
}
