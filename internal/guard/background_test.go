package guard_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
)

func TestWaitForNothingReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var background guard.Background
		if err := guard.Wait(t.Context(), &background); err != nil || time.Since(begin) != 0 {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
}

func TestWaitIsForAllThatIsUnderWay(t *testing.T) {
	for name, end := range map[string]func() error{
		"return": func() error { return errOurs },
		"panic":  func() error { panic("oh") },
		"Goexit": func() error {
			runtime.Goexit()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var background guard.Background
				for i := range 3 {
					background.Run(func() error {
						time.Sleep(time.Duration(i) * time.Hour)
						return end()
					})
				}
				err := guard.Wait(t.Context(), &background)
				if err != nil || time.Since(begin) != 2*time.Hour {
					t.Errorf("got %v after %v", err, time.Since(begin))
				}
			})
		})
	}
}

func TestBackgroundRunReturnsTheError(t *testing.T) {
	var background guard.Background
	if err := <-background.Run(func() error { return errOurs }); err != errOurs {
		t.Errorf("got %v", err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var background guard.Background
		background.Run(func() error {
			time.Sleep(time.Hour)
			return nil
		})
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errOurs)
		defer cancel()
		err := guard.Wait(ctx, &background)
		if err != errOurs || time.Since(begin) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		err = guard.Wait(t.Context(), &background)
		if err != nil || time.Since(begin) != time.Hour {
			t.Errorf("the next one: got %v after %v", err, time.Since(begin))
		}
	})
}

func TestWaitForAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var group sync.WaitGroup
		group.Go(func() { time.Sleep(time.Hour) })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := guard.Wait(ctx, &group); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if err := guard.Wait(t.Context(), &group); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
}
