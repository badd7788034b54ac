package digest_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/internal/digest"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// add adds one at each of these seconds after the start, and returns of how many it has to be told
// each time.
func add(d *digest.Digest[string], seconds ...int) (told []int) {
	for _, second := range seconds {
		told = append(told, d.Add("one", start.Add(time.Duration(second)*time.Second)))
	}
	return told
}

func TestFirstIsToldAtOnceAndOthersOnceAMinuteWithTheirNumber(t *testing.T) {
	d := digest.New[string](time.Minute)
	got := add(d, 0, 1, 59, 60, 60, 61, 119, 120, 121, 500, 501)
	if want := []int{1, 0, 0, 3, 0, 0, 0, 4, 0, 2, 0}; !slices.Equal(got, want) {
		t.Errorf("told of %v, want %v", got, want)
	}
}

func TestSomeAreToldSoonerOrLaterThanOthers(t *testing.T) {
	d := digest.New[string](time.Minute)
	add(d, 0, 1)
	for _, next := range []struct {
		every time.Duration
		after time.Duration
		want  int
	}{
		{5 * time.Minute, 61 * time.Second, 0},
		{0, 61 * time.Second, 3},
		{5 * time.Minute, 361 * time.Second, 1},
	} {
		if got := d.AddEvery(next.every, "one", start.Add(next.after)); got != next.want {
			t.Errorf("told of %d after %v, want %d", got, next.after, next.want)
		}
	}
}

func TestRestIsWhatNobodyWasToldOf(t *testing.T) {
	d := digest.New[string](time.Minute)
	if last, n := d.Rest(); n != 0 || last != "" {
		t.Errorf("%d are left of none, the last one %q", n, last)
	}
	d.Add("first", start)
	if last, n := d.Rest(); n != 0 || last != "" {
		t.Errorf("%d are left, the last one %q, though it was told of", n, last)
	}
	d.Add("first", start)
	d.Add("second", start)
	d.Add("third", start)
	if last, n := d.Rest(); n != 2 || last != "third" {
		t.Errorf("%d are left, the last one %q, want 2 and the third", n, last)
	}
	if n := d.Add("the first again", start); n != 1 {
		t.Errorf("told of %d, want the first one at once", n)
	}
}

// Whoever comes at the same time has read the clock a little before or after.
func TestOrderInWhichTheClockIsReadDoesNotMatter(t *testing.T) {
	d := digest.New[string](time.Minute)
	if got, want := add(d, 2, 0, 1, 2), []int{1, 0, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("told of %v, want %v", got, want)
	}
}

func TestNothingIsKeptSecretAfterTheClockWasSet(t *testing.T) {
	const hour = 3600
	d := digest.New[string](time.Minute)
	if got, want := add(d, 5*hour, 0, 1, 60), []int{1, 1, 0, 2}; !slices.Equal(got, want) {
		t.Errorf("back: told of %v, want %v", got, want)
	}
	d = digest.New[string](time.Minute)
	if got, want := add(d, 0, 5*hour, 5*hour+1), []int{1, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("forward: told of %v, want %v", got, want)
	}
}

func TestNoneIsLostWhenManyCome(t *testing.T) {
	d := digest.New[int](time.Minute)
	var told atomic.Int64
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			for j := range 100 {
				told.Add(int64(d.Add(i, start.Add(time.Duration(j)*time.Second))))
			}
		})
	}
	all.Wait()
	_, rest := d.Rest()
	if n := told.Load() + int64(rest); n != 10_000 {
		t.Errorf("told of %d, want 10,000", n)
	}
}
