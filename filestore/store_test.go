package filestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofrs/flock"
	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/filestore"
	"github.com/lookerauth/lookerauth/storetest"
)

func TestMain(m *testing.M) {
	if task := os.Getenv(taskVariable); task != "" {
		runTask(task)
		return
	}
	goleak.VerifyTestMain(m)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newDir returns the path of a folder that is not there yet.
func newDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "tokens")
}

func open(t *testing.T, dir string) *filestore.Store {
	t.Helper()
	store, err := filestore.Open(dir)
	check(t, err)
	return store
}

// swap swaps, and fails the test unless the answer is want.
func swap(t *testing.T, store lookerauth.Store, name, old, next, want string) {
	t.Helper()
	now, err := store.CompareAndSwap(t.Context(), name, []byte(old), []byte(next), time.Hour)
	if err != nil || string(now) != want {
		t.Errorf("%s: a swap of %.20q for %.20q returned %.20q, %v, want %.20q",
			name, old, next, now, err, want)
	}
}

// wantValue fails the test unless this is the value of name; "" is none.
func wantValue(t *testing.T, store lookerauth.Store, name, want string) {
	t.Helper()
	got, err := store.Get(t.Context(), name)
	if err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Errorf("%s is %.20q, %v, want %.20q", name, got, err, want)
	}
}

func TestStoreKeepsTheRules(t *testing.T) {
	storetest.Run(t, func(t *testing.T) lookerauth.Store { return open(t, newDir(t)) })
}

// turns is a Store whose calls go to two Stores in turn, as those of two processes.
type turns struct {
	stores [2]*filestore.Store
	calls  atomic.Uint32
}

func (s *turns) next() *filestore.Store { return s.stores[s.calls.Add(1)%2] }

func (s *turns) Get(ctx context.Context, name string) ([]byte, error) {
	return s.next().Get(ctx, name)
}

func (s *turns) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	return s.next().CompareAndSwap(ctx, name, old, next, ttl)
}

func TestTwoStoresOfOneFolderSeeTheSameValues(t *testing.T) {
	dir := newDir(t)
	storetest.Run(t, func(t *testing.T) lookerauth.Store {
		return &turns{stores: [2]*filestore.Store{open(t, dir), open(t, dir)}}
	})
}

func TestValueAndKeyOutliveTheStore(t *testing.T) {
	dir := newDir(t)
	first := open(t, dir)
	swap(t, first, "name", "", "value", "value")
	second := open(t, dir)
	wantValue(t, second, "name", "value")
	keys := first.Keys()
	if len(keys) != 1 || len(keys[0]) != 32 || !bytes.Equal(second.Keys()[0], keys[0]) {
		t.Error("the keys are not one of 32 bytes, the same for both")
	}
	clear(keys[0])
	if bytes.Equal(first.Keys()[0], keys[0]) {
		t.Error("the caller has the Store's own key")
	}
	if other := open(t, newDir(t)); bytes.Equal(other.Keys()[0], first.Keys()[0]) {
		t.Error("two folders have the same key")
	}
}

func TestRelativeFolderStaysTheSame(t *testing.T) {
	t.Chdir(t.TempDir())
	store := open(t, "tokens")
	swap(t, store, "name", "", "value", "value")
	t.Chdir(t.TempDir())
	wantValue(t, store, "name", "value")
}

func TestNoFolderIsNotTheCurrentOne(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := filestore.Open(""); err == nil {
		t.Error("no error")
	}
	if files, err := os.ReadDir("."); len(files) > 0 || err != nil {
		t.Errorf("files %v, %v", files, err)
	}
}

func TestFolderThatIsRemovedIsMadeAgain(t *testing.T) {
	dir := newDir(t)
	store := open(t, dir)
	swap(t, store, "name", "", "value", "value")
	check(t, os.RemoveAll(dir))
	wantValue(t, store, "name", "")
	swap(t, store, "name", "", "another", "another")
	wantValue(t, store, "name", "another")
	if !bytes.Equal(open(t, dir).Keys()[0], store.Keys()[0]) {
		t.Error("who opens the folder that was made again has another key")
	}
}

func TestKeyOfWhoeverMadeTheFolderAgainStays(t *testing.T) {
	dir := newDir(t)
	first := open(t, dir)
	check(t, os.RemoveAll(dir))
	second := open(t, dir)
	swap(t, first, "name", "", "value", "value")
	if !bytes.Equal(open(t, dir).Keys()[0], second.Keys()[0]) {
		t.Error("who opens the folder has another key than the one who made it")
	}
}

func TestAllWhoMakeTheFolderHaveOneKey(t *testing.T) {
	for range 20 {
		dir := newDir(t)
		keys := make([][]byte, 8)
		var all sync.WaitGroup
		for i := range keys {
			all.Go(func() {
				store, err := filestore.Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				keys[i] = store.Keys()[0]
			})
		}
		all.Wait()
		for _, key := range keys {
			if !bytes.Equal(key, keys[0]) {
				t.Fatal("two have different keys")
			}
		}
	}
}

func TestNameThatIsTooLongIsAnError(t *testing.T) {
	store := open(t, newDir(t))
	name := strings.Repeat("x", 1000)
	if value, err := store.Get(t.Context(), name); err == nil {
		t.Errorf("its value is %q", value)
	}
	now, err := store.CompareAndSwap(t.Context(), name, nil, []byte("value"), time.Hour)
	if err == nil {
		t.Errorf("swapped to %q", now)
	}
}

func TestNothingIsMadeAfterTheContextHasEnded(t *testing.T) {
	dir := newDir(t)
	store := open(t, dir)
	check(t, os.RemoveAll(dir))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if _, err := store.Get(ctx, "name"); err == nil {
			t.Error("no error")
		}
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("the folder is made")
	}
}

func TestValueThatIsTooLongIsRefused(t *testing.T) {
	store := open(t, newDir(t))
	long := bytes.Repeat([]byte("x"), 8<<10+1)
	if _, err := store.CompareAndSwap(t.Context(), "name", nil, long, time.Hour); err == nil {
		t.Error("no error")
	}
	wantValue(t, store, "name", "")
}

// An operation that waits for the lock ends with its context, be the lock another process's or
// another call's of this one.
func TestOperationReturnsWhenItsContextEnds(t *testing.T) {
	dir := newDir(t)
	store := open(t, dir)
	lock := flock.New(filepath.Join(dir, "lock"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	errs := make(chan error)
	cause := errors.New("the caller left")
	ctx, cancel := context.WithCancelCause(t.Context())
	for range 4 {
		go func() {
			_, err := store.Get(ctx, "name")
			errs <- err
		}()
		go func() {
			_, err := store.CompareAndSwap(ctx, "name", nil, []byte("value"), time.Hour)
			errs <- err
		}()
	}
	select {
	case err := <-errs:
		t.Errorf("%v, while the folder is locked", err)
	default:
	}
	cancel(cause)
	for range 8 {
		if err := <-errs; !errors.Is(err, cause) {
			t.Errorf("error %v, want the context's cause", err)
		}
	}
	check(t, lock.Unlock())
	wantValue(t, store, "name", "")
}

func TestOpenWithoutAKeySaysWhyItHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which makes it wait no time for the lock
		dir := newDir(t)
		check(t, os.Mkdir(dir, 0o700))
		lock := flock.New(filepath.Join(dir, "lock"))
		if ok, err := lock.TryLock(); !ok || err != nil {
			t.Fatal(ok, err)
		}
		_, err := filestore.Open(dir)
		if err == nil || !strings.Contains(err.Error(), "another process holds the lock") {
			t.Errorf("error %v", err)
		}
		check(t, lock.Unlock())
		open(t, dir)
		if ok, err := lock.TryLock(); !ok || err != nil {
			t.Fatal(ok, err)
		}
		open(t, dir) // there is a key now
		check(t, lock.Unlock())
	})
}

// simulate runs f at a time of its own, which begins in the year 2000.
func simulate(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Run("simulated", func(t *testing.T) { synctest.Test(t, f) })
}

func TestValueExpires(t *testing.T) {
	simulate(t, func(t *testing.T) {
		store := open(t, newDir(t))
		for i, ttl := range []time.Duration{
			time.Hour, 300 * 24 * time.Hour, 1<<63 - 1, time.Millisecond, 1, 0, -time.Hour,
		} {
			name := fmt.Sprint("name-", i)
			_, err := store.CompareAndSwap(t.Context(), name, nil, []byte("value"), ttl)
			check(t, err)
			ttl = max(ttl.Round(time.Millisecond), time.Millisecond)
			time.Sleep(min(ttl, 300*24*time.Hour) - time.Nanosecond)
			wantValue(t, store, name, "value")
			time.Sleep(time.Nanosecond)
			if ttl <= time.Hour {
				wantValue(t, store, name, "")
				swap(t, store, name, "value", "other", "")
				swap(t, store, name, "", "other", "other")
			}
		}
	})
}

// A clock that is set right changes nothing. What lies in the future by more is none, or it might
// stay for years.
func TestValueOutlivesASmallStepOfTheClock(t *testing.T) {
	for step, want := range map[time.Duration]string{
		time.Second:      "value",
		time.Minute:      "value",
		61 * time.Second: "",
		24 * time.Hour:   "",
	} {
		dir := newDir(t)
		simulate(t, func(t *testing.T) {
			time.Sleep(step)
			swap(t, open(t, dir), "name", "", "value", "value")
		})
		simulate(t, func(t *testing.T) { wantValue(t, open(t, dir), "name", want) })
	}
}

func TestExpiredValuesAreRemoved(t *testing.T) {
	simulate(t, func(t *testing.T) {
		dir := newDir(t)
		store := open(t, dir)
		swap(t, store, "live", "", "value", "value")
		const atOnce = 40 // that live
		most := 0
		for i := range 20 * atOnce {
			if i%10 == 0 {
				store = open(t, dir) // a command that runs now and then
			}
			_, err := store.CompareAndSwap(
				t.Context(), fmt.Sprint(i), nil, []byte("value"), atOnce*time.Second)
			check(t, err)
			time.Sleep(time.Second)
			most = max(most, len(values(t, dir)))
		}
		if most > 2*atOnce {
			t.Errorf("%d files of %d values that live at once", most, atOnce)
		}
		wantValue(t, store, "live", "value")
	})
}

// values returns the files of values.
func values(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.value"))
	check(t, err)
	slices.Sort(files)
	return files
}
