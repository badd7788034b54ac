package guard

import (
	"context"
	"sync/atomic"
	"time"
)

// Clock is the part of a clock that a time-out needs.
type Clock interface {
	After(d time.Duration) <-chan time.Time
}

// grace is how long code may take to return when its context has ended, to say what it was doing.
const grace = 100 * time.Millisecond

// Bounded runs f in the background, with a context that ends after d with this cause, and waits for
// it. It gives f up if that does not return then: the error is the cause, and late gets what f
// returns at last.
func Bounded[T any](
	ctx context.Context, b *Background, clock Clock, d time.Duration, cause error,
	f func(context.Context) (T, error), late func(T, error),
) (T, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var result, none T
	var decided atomic.Bool // by whoever comes first: f has returned, or is given up
	done := b.Run(func() error {
		value, err := f(ctx)
		if !decided.CompareAndSwap(false, true) {
			late(value, err)
			return nil
		}
		result = value
		return err
	})
	select {
	case err := <-done:
		return result, err
	case <-clock.After(d):
		cancel(cause)
	}
	select {
	case err := <-done:
		return result, err
	case <-clock.After(grace):
	}
	if decided.CompareAndSwap(false, true) {
		return none, cause
	}
	err := <-done
	return result, err
}
