//go:build unix

package redisstore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// inMemory is a hook that answers every command itself.
type inMemory struct {
	commands
	answer func(*redis.Cmd)
}

func (m inMemory) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		m.answer(cmd.(*redis.Cmd))
		return cmd.Err()
	}
}

// nowhere is the address of clients that never connect. It is no name, as that would be looked up
// when a client is made.
const nowhere = "127.0.0.1:1"

var errNotNow = errors.New("not now")

func TestLockIsTakenFor30Seconds(t *testing.T) {
	var milliseconds any
	store := newStore(t, nowhere, inMemory{answer: func(cmd *redis.Cmd) {
		milliseconds = cmd.Args()[len(cmd.Args())-1]
		cmd.SetVal(int64(1))
	}})
	lock(t, store, "key")
	if milliseconds != int64(30_000) {
		t.Errorf("it is taken for %v ms", milliseconds)
	}
}

func TestWaiterTriesInPausesThatGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("the cause")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, cause)
		defer cancel()
		var tries []time.Time
		store := newStore(t, nowhere, inMemory{answer: func(cmd *redis.Cmd) {
			tries = append(tries, time.Now())
			if len(tries) == 100 { // without pauses, no time passes
				cancel()
			}
			cmd.SetVal(int64(0))
		}})
		if _, err := store.Lock(ctx, "key"); !errors.Is(err, cause) {
			t.Errorf("got %v, want the context's cause", err)
		}
		if len(tries) < 13 {
			t.Fatalf("%d tries", len(tries))
		}
		pauses := make(map[time.Duration]bool)
		pause := 20 * time.Millisecond
		for i, try := range tries[1:] {
			got := try.Sub(tries[i])
			if got < pause/2 || got >= pause*3/2 {
				t.Errorf("pause %d took %v, want %v, give or take a half", i, got, pause)
			}
			pauses[got] = true
			pause = min(2*pause, 320*time.Millisecond)
		}
		if len(pauses) < 6 {
			t.Error("the pauses do not differ: all who wait would try at once")
		}
	})
}

// A server that hung gives the locks that it was asked for in the meantime. Nobody holds them.
func TestLockThatNobodyHoldsIsOpenedAsSoonAsTheServerAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		lock, unlock error // what the server answers at first
		failing      int   // for how many seconds it does
		from, to     int   // in which second the last try to open the lock is made
	}{
		"its answer was lost":           {errNotNow, errNotNow, 12, 12, 13},
		"its holder could not open it":  {nil, errNotNow, 12, 12, 13},
		"it opened by itself meanwhile": {nil, errNotNow, 3600, 29, 30},
		"the client was closed":         {nil, redis.ErrClosed, 3600, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var asked bool
				var last float64 // seconds after the start
				store := newStore(t, nowhere, inMemory{answer: func(cmd *redis.Cmd) {
					cmd.SetVal(int64(1))
					if !asked {
						asked = true
						cmd.SetErr(test.lock)
						return
					}
					last = time.Since(start).Seconds()
					if last < float64(test.failing) {
						cmd.SetErr(test.unlock)
					}
				}})
				unlock, err := store.Lock(t.Context(), "key")
				if !errors.Is(err, test.lock) {
					t.Fatal(err)
				}
				if err == nil {
					unlock()
				}
				if blocked := time.Since(start); blocked != 0 {
					t.Errorf("the caller was blocked for %v", blocked)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if last < float64(test.from) || last > float64(test.to) {
					t.Errorf("the last try to open it was made after %v s, want %d s to %d s",
						last, test.from, test.to)
				}
			})
		})
	}
}
