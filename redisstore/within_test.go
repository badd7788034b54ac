package redisstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestResultThatComesAsTheContextEndsIsReceivedOrUndone(t *testing.T) {
	cause := errors.New("the cause")
	for range 100 { // who comes first differs
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			undone := false
			_, err := within(ctx, func() (bool, error) {
				cancel(cause)
				return true, nil
			}, func() { undone = true })
			synctest.Wait()
			if !errors.Is(err, cause) {
				t.Errorf("got %v, want the context's cause", err)
			}
			if !undone {
				t.Error("what nobody received was not undone")
			}
		})
	}
}
