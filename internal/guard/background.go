package guard

import (
	"context"
	"sync"
)

// Background is what runs while nobody waits for it but [Background.Wait]. The zero value is
// ready for use. Nothing may be added while somebody waits and it is empty.
type Background struct {
	running sync.WaitGroup
}

// Run is [Run], and counts f as under way until it has returned.
func (b *Background) Run(f func() error) <-chan error {
	b.running.Add(1)
	return Run(func() error {
		defer b.running.Done()
		return f()
	})
}

// Wait waits until nothing is under way.
func (b *Background) Wait() { b.running.Wait() }

// Wait waits for all, one after the other, or until ctx ends; then it returns the cause of that.
func Wait(ctx context.Context, all ...interface{ Wait() }) error {
	done := make(chan struct{})
	go func() {
		for _, each := range all {
			each.Wait()
		}
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
