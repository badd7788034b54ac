package guard_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
)

// bubble is the clock of a synctest bubble.
type bubble struct{}

func (bubble) After(d time.Duration) <-chan time.Time { return time.After(d) }

// bounded calls [guard.Bounded] with a minute, after which the cause is errOurs.
func bounded(ctx context.Context, f func(context.Context) error) error {
	_, err := boundedValue(ctx, &guard.Background{}, func(ctx context.Context) (int, error) {
		return 0, f(ctx)
	}, func(int, error) {})
	return err
}

func boundedValue(
	ctx context.Context, b *guard.Background, f func(context.Context) (int, error),
	late func(int, error),
) (int, error) {
	return guard.Bounded(ctx, b, bubble{}, time.Minute, errOurs, f, late)
}

func TestBoundedReturnsWhatCameInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, want := time.Now(), errors.New("theirs")
		err := bounded(t.Context(), func(context.Context) error {
			time.Sleep(time.Minute - 1)
			return want
		})
		if err != want || time.Since(begin) != time.Minute-1 {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
}

func TestBoundedEndsTheContextWithTheCauseInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		err := bounded(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if err != errOurs || time.Since(begin) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
}

func TestBoundedGivesUpCodeThatHangsPastItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, theirs := time.Now(), errors.New("theirs")
		var background guard.Background
		var late []any
		got, err := boundedValue(t.Context(), &background, func(context.Context) (int, error) {
			time.Sleep(time.Hour)
			return 1, theirs
		}, func(value int, err error) { late = append(late, value, err, time.Since(begin)) })
		took := time.Since(begin)
		if got != 0 || err != errOurs || took >= time.Minute+time.Second {
			t.Errorf("got %v, %v after %v", got, err, took)
		}
		background.Wait() // which is what Close does
		if want := []any{1, theirs, time.Hour}; !slices.Equal(late, want) {
			t.Errorf("it was told %v, want %v", late, want)
		}
	})
}

// It may say what it was doing when its time was up.
func TestBoundedTakesWhatComesAsTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		theirs := errors.New("theirs")
		var background guard.Background
		got, err := boundedValue(t.Context(), &background, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			time.Sleep(time.Millisecond)
			return 1, theirs
		}, func(int, error) { t.Error("it is late") })
		if got != 1 || err != theirs {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestBoundedPassesTheCallersContextOn(t *testing.T) {
	type key struct{}
	callers := errors.New("the caller's")
	ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	cancel(callers)
	err := bounded(ctx, func(ctx context.Context) error {
		if value := ctx.Value(key{}); value != "value" {
			t.Errorf("the value is %v", value)
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if err != callers {
		t.Errorf("got %v", err)
	}
}

func TestBoundedLeavesNoContextBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept context.Context
		err := bounded(t.Context(), func(ctx context.Context) error {
			kept = ctx
			return ctx.Err()
		})
		if err != nil || kept.Err() != context.Canceled {
			t.Errorf("got %v; afterwards the context has %v", err, kept.Err())
		}
	})
}

func TestBoundedCodeMayPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := bounded(t.Context(), func(context.Context) error { panic("oh") })
		if err == nil || !strings.Contains(err.Error(), "panicked") {
			t.Errorf("got %v", err)
		}
	})
}
