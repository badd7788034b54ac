package lookerauth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"
)

const (
	minHoldDown = time.Second // after a first failure; doubled by each further one
	maxHoldDown = 30 * time.Second
	maxFailures = 10_000 // identities whose failures are remembered
)

// flights runs the logins: at most one at a time for each identity, whoever asks for it.
//
// singleflight's group hands one result to everyone who waits. What it leaves to others is here: who may start (not after
// Close, not while held down), how long a login may take, panics, and Logout.
type flights struct {
	clock   Clock
	timeout time.Duration
	cache   *Cache // takes the new tokens
	group   singleflight.Group
	joined  atomic.Uint64  // callers that got the result of a login that another one started
	landed  sync.WaitGroup // one for each flight, and for each Logout; incremented only while mu is held and closed is false

	mu       sync.Mutex // may be held when Cache.mu is taken, never the other way round; guards what is below
	closed   bool
	aloft    map[string]*flight              // by user id, "" for the service account
	failures *simplelru.LRU[string, failure] // by user id; bounded, as made-up user ids fail for ever
}

// flight is one login under way.
type flight struct {
	cancel    context.CancelCauseFunc
	abandoned bool // guarded by flights.mu: Logout came meanwhile, so nobody may have the token
}

// failure is what the last failed login of an identity leaves behind.
type failure struct {
	err      error
	since    time.Time
	holdDown time.Duration // no login before since + holdDown
}

// login gets one identity's token. It must return soon after ctx ends.
type login func(ctx context.Context, e effort) (*token, error)

// errAbandoned tells those who waited for a login to ask once more: Logout overtook it.
var errAbandoned = errors.New("lookerauth: logged out during the login")

func newFlights(cfg Config, cache *Cache) *flights {
	failures, err := simplelru.NewLRU[string, failure](maxFailures, nil)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &flights{
		cache:    cache,
		clock:    cfg.Clock,
		timeout:  cfg.LoginTimeout,
		aloft:    make(map[string]*flight),
		failures: failures,
	}
}

// get waits for the one login of s, which it starts if there is none. It returns ctx's error as soon as ctx ends; the login
// then goes on for the others, and keeps the values of the context of the one who started it.
func (f *flights) get(ctx context.Context, s *TokenSource, do login) (*token, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := f.refusal(s); err != nil {
			return nil, err
		}
		started := false
		result := f.group.DoChan(s.userID, func() (any, error) {
			started = true
			return f.fly(context.WithoutCancel(ctx), s, maxTries, do)
		})
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case r := <-result:
			if !started {
				f.joined.Add(1)
			}
			if r.Err != errAbandoned {
				return r.Val.(*token), r.Err
			}
		}
	}
}

// start starts a login of s that nobody waits for, unless one is under way or may not be. It is tried once: the hold-down
// paces what follows. The login's context has no values, as it belongs to no request.
func (f *flights) start(s *TokenSource, do login) {
	if f.refusal(s) != nil || f.underWay(s) {
		return
	}
	f.group.DoChan(s.userID, func() (any, error) { return f.fly(context.Background(), s, 1, do) })
}

// refusal says why no login of s may start now; nil if it may.
func (f *flights) refusal(s *TokenSource) error {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refusalLocked(s, now)
}

func (f *flights) refusalLocked(s *TokenSource, now time.Time) error {
	if f.closed {
		return fmt.Errorf("lookerauth: %w", ErrClosed)
	}
	last, failed := f.failures.Peek(s.userID)
	if failed && within(now.Sub(last.since), last.holdDown) {
		return last.err
	}
	return nil
}

// now is the wall clock's time. It is read before mu is taken, as the Clock is the user's.
func (f *flights) now() time.Time { return f.clock.Now().Round(0) }

func (f *flights) underWay(s *TokenSource) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.aloft[s.userID] != nil
}

// fly runs one login from take-off to landing. The group calls it for one caller at a time for each identity.
func (f *flights) fly(ctx context.Context, s *TokenSource, tries int, do login) (t *token, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := f.takeOff(s, cancel); err != nil {
		return nil, err
	}
	defer f.landed.Done()

	e := effort{until: f.clock.Now().Add(f.timeout), tries: tries}
	err = bounded(ctx, f.clock, f.timeout, func(ctx context.Context) error {
		var err error
		t, err = do(ctx, e)
		return err
	})
	if err != nil {
		err = asLoginError(err, s.op(), s.userID)
	}
	t, err = f.land(s, t, err)
	if ownFailure(s, err) != nil {
		f.cache.loginFailed(ctx, s, err, f.holdDown(s))
	}
	return t, err
}

func (f *flights) takeOff(s *TokenSource, cancel context.CancelCauseFunc) error {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refusalLocked(s, now); err != nil {
		return err
	}
	f.aloft[s.userID] = &flight{cancel: cancel}
	f.landed.Add(1)
	return nil
}

// land keeps the token, or remembers the failure. Both happen under the same lock as abandon and close, so a token comes to
// rest either before them, where they find it, or not at all.
func (f *flights) land(s *TokenSource, t *token, err error) (*token, error) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	abandoned, landedWell := f.aloft[s.userID].abandoned, err == nil
	delete(f.aloft, s.userID)
	if abandoned {
		err = errAbandoned
	}
	if f.closed {
		err = fmt.Errorf("lookerauth: %w", ErrClosed)
	}
	if err == nil {
		f.failures.Remove(s.userID)
		if !f.cache.put(s, t, now) {
			return nil, errAbandoned
		}
		return t, nil
	}
	switch {
	case t == nil:
	case landedWell && !abandoned: // Close came meanwhile, and other processes may have the token from the Store
		f.cache.release(t, "token discarded")
	default:
		f.cache.discard(t, "token discarded")
	}
	if failed := ownFailure(s, err); failed != nil {
		last, _ := f.failures.Peek(s.userID)
		d := min(max(2*last.holdDown, minHoldDown), maxHoldDown)
		if failed.final() {
			d = maxHoldDown
		}
		f.failures.Add(s.userID, failure{err, now, d})
	}
	return nil, err
}

// holdDown is how long the identity is held down after its last failure; 0 if it did not fail.
func (f *flights) holdDown(s *TokenSource) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, _ := f.failures.Peek(s.userID)
	return last.holdDown
}

// ownFailure is what went wrong with a login of s itself. It is nil if err is the service account's, which is counted, logged
// and held down there, or stands for Logout or Close.
func ownFailure(s *TokenSource, err error) *LoginError {
	var failed *LoginError
	if errors.As(err, &failed) && failed.UserID == s.userID {
		return failed
	}
	return nil
}

// abandon takes care that the login of s under way, if there is one, is for nothing. If it returns nil, Close waits until the
// caller says that it has landed.
func (f *flights) abandon(s *TokenSource) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fmt.Errorf("lookerauth: %w", ErrClosed)
	}
	if flight := f.aloft[s.userID]; flight != nil {
		flight.abandoned = true
	}
	f.landed.Add(1)
	return nil
}

// close lets no login start or succeed from now on, and cancels those under way. They have ended when landed is done. It
// reports whether it is the first call.
func (f *flights) close() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.closed = true
	for _, flight := range f.aloft {
		flight.cancel(ErrClosed)
	}
	return true
}

// within reports whether an event that happened elapsed ago is less than d ago. One in the future is not: the clock was set
// back since, and nobody knows how long ago it was.
func within(elapsed, d time.Duration) bool {
	return elapsed >= 0 && elapsed < d
}

// await waits for the groups, one after the other, until ctx ends.
func await(ctx context.Context, groups ...*sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		for _, group := range groups {
			group.Wait()
		}
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bounded runs f as protect does, with a context that ends after d, and waits for it.
func bounded(ctx context.Context, clock Clock, d time.Duration, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := protect(func() error { return f(ctx) })
	select {
	case err := <-done:
		return err
	case <-clock.After(d):
		cancel(fmt.Errorf("not done within LoginTimeout, %v (is Looker reachable at the base URL?): %w", d, context.DeadlineExceeded))
		return <-done
	}
}

// protect runs f, which may call code of the user's, in a goroutine of its own. The channel gets f's error, or the one that
// stands for its panic or runtime.Goexit.
func protect(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() {
		err := errors.New("code given to this package called runtime.Goexit, as t.FailNow does")
		defer func() {
			if r := recover(); r != nil {
				err = panicError(r)
			}
			result <- err
		}()
		err = f()
	}()
	return result
}

// panicError says where code of the user's panicked. It tells the value only if that is certain to hold no secret.
func panicError(value any) error {
	what := fmt.Sprintf("a %T", value)
	if err, ok := value.(runtime.Error); ok {
		what = err.Error()
	}
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs)]) // above: Callers, this function, the deferred one, panic
	for {
		frame, more := frames.Next()
		if frame.Func != nil && !isRuntime(frame.Function) || !more {
			return fmt.Errorf("code given to this package panicked with %s in %s, line %d", what, frame.Function, frame.Line)
		}
	}
}

func isRuntime(function string) bool { return strings.HasPrefix(function, "runtime.") }
