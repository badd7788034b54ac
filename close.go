package lookerauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/token"
)

// close ends everything: logins are cancelled, all tokens released, the service account's first,
// and what is under way waited for. It gives up when ctx ends, or if no logout has succeeded for a
// LoginTimeout.
func (l *lifecycle) close(ctx context.Context) error {
	refuseNil(ctx)
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
	left := l.tokens.Close(l.clock.Now().UnixNano())
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
	users := len(left)
	isService := func(one *token.Left) bool { return one.Key == ServiceAccount().key }
	if slices.ContainsFunc(left, isService) {
		users--
	}
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
	failed, _ := each(l.maxLogins, all, func(left *token.Left) error {
		return l.issuer.release(ctx, Identity{left.Key}, left.Tokens)
	})
	return failed
}

// logOutAll logs out every identity that there is something of, be it a login under way.
func (l *lifecycle) logOutAll(ctx context.Context) error {
	refuseNil(ctx)
	done, err := l.logins.hold()
	if err != nil {
		return err
	}
	defer done()
	all := make(map[Identity]bool)
	for _, who := range l.logins.keys() { // first: a login that ends meanwhile leaves a token
		all[who] = true
	}
	for _, key := range l.tokens.Keys() {
		all[Identity{key}] = true
	}
	failed, err := each(l.maxLogins, slices.Collect(maps.Keys(all)), func(who Identity) error {
		return l.logOut(ctx, who)
	})
	if failed == 0 {
		return nil
	}
	const format = "lookerauth: the logout of %d of %d identities failed, one of them with: %w"
	return fmt.Errorf(format, failed, len(all), err)
}

// each calls f for each of all, in this order and so many at once. It returns how often that
// failed, and the first error.
func each[T any](limit int, all []T, f func(T) error) (failed int, first error) {
	var mu sync.Mutex // guards the results
	var group errgroup.Group
	group.SetLimit(limit)
	for _, one := range all {
		group.Go(func() error {
			err := f(one)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				first = cmp.Or(first, err)
			}
			return nil
		})
	}
	_ = group.Wait() // no function in it fails
	return failed, first
}
