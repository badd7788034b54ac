package guard

import (
	"context"
	"sync"
)

// Background is what runs while nobody waits for it but [Background.Wait]. The zero value is
// ready for use. Nothing may be added once a Wait has found it empty and ended.
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

// Wait waits until nothing is under way, or ctx ends; then it returns ctx's error.
func (b *Background) Wait(ctx context.Context) error { return Wait(ctx, &b.running) }

// Wait waits for the group, or until ctx ends; then it returns ctx's error.
func Wait(ctx context.Context, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
