package lookerauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/token"
)

// close ends everything: logins are cancelled, all tokens released, the service account's first,
// and what is under way waited for. It gives up when ctx ends, or if no logout has succeeded for a
// LoginTimeout.
func (l *lifecycle) close(ctx context.Context) error {
	if !l.logins.close(closedError()) {
		select {
		case <-l.closed: // first, as ctx may have ended as well
			return l.closeErr
		default:
		}
		select {
		case <-l.closed:
			return l.closeErr
		case <-ctx.Done():
			return fmt.Errorf("lookerauth: close: %w", context.Cause(ctx))
		}
	}
	now := l.clock.Now().UnixNano()
	left := l.tokens.RemoveUsers(now)
	users := len(left)
	if service := l.tokens.Remove(ServiceAccount().key, now); service != nil {
		left = slices.Insert(left, 0, service)
	}
	failed, err := l.end(ctx, left)
	if failed > 0 {
		const alive = "the logout of %d of %d identities failed, " +
			"their tokens may live until they expire: %w"
		err = fmt.Errorf(alive, failed, len(left), cmp.Or(err, errLogout))
	}
	if err != nil {
		l.closeErr = fmt.Errorf("lookerauth: close: %w", err)
	}
	close(l.closed)
	l.events.closed(context.WithoutCancel(ctx), users, failed, wallTime(l.clock))
	return l.closeErr
}

// end releases what is left, and waits for what is under way. It returns for how many identities
// the former failed, and why the latter was not waited for to its end.
func (l *lifecycle) end(ctx context.Context, left []*token.Left) (failed int, err error) {
	defer l.cancel()
	ctx, stop := l.whileLogoutsSucceed(ctx)
	defer stop()
	failed = l.releaseAll(ctx, left) // first, as code of the user's may hang in a login
	// Logins that end late still add to the background: it is not waited for before they have.
	err = guard.Wait(ctx, &l.logins.running, l.background)
	if err == nil && failed > 0 {
		err = context.Cause(ctx) // which may have ended at the same moment
	}
	return failed, err
}

// The errors that stand for those of logouts, each of which was logged.
var (
	errLogout   = errors.New("it was refused or not answered")
	errNoLogout = errors.New("no logout has succeeded, and not everything has ended, " +
		"for as long as LoginTimeout")
)

// whileLogoutsSucceed returns a context that also ends once a LoginTimeout has passed in which no
// logout has succeeded, give or take an eighth: then the others will hardly do.
func (l *lifecycle) whileLogoutsSucceed(ctx context.Context) (context.Context, func()) {
	const looks = 8
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		before := l.events.logouts.Load()
		for idle := 0; idle < looks; idle++ {
			select {
			case <-ctx.Done():
				return
			case <-l.clock.After(l.timeout / looks):
			}
			if now := l.events.logouts.Load(); now != before {
				before, idle = now, -1
			}
		}
		cancel(errNoLogout)
	}()
	return ctx, func() { cancel(nil) }
}

// releaseAll releases tokens, in this order, and returns for how many identities that failed.
func (l *lifecycle) releaseAll(ctx context.Context, all []*token.Left) int {
	var failed atomic.Int64
	var group errgroup.Group
	group.SetLimit(l.maxLogins)
	for _, left := range all {
		group.Go(func() error {
			if l.issuer.release(ctx, Identity{left.Key}, left.Tokens) != nil {
				failed.Add(1)
			}
			return nil
		})
	}
	_ = group.Wait() // no function in it fails
	return int(failed.Load())
}
