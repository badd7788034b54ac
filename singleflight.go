package lookerauth

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/singleflight"
)

// group runs one call of a job at a time for each key, and hands its result to all who asked.
//
// That is what singleflight does. Around it, a group has what singleflight lacks: callers who leave
// without ending the call for others, results that nobody may have, and an end. What a job
// is, whether it may start and what becomes of its result is for its steps to say.
type group[K comparable, V any] struct {
	steps   steps[K, V]
	results singleflight.Group
	running sync.WaitGroup // calls, their reports in goroutines of ours, and holders of discard;
	// none is added once closed is set

	mu      sync.Mutex // guards what is below
	closed  error      // why no call may start any more
	calls   map[K]*call[V]
	started uint64 // calls, so far
}

// call is one call under way.
type call[V any] struct {
	name   string          // another one for each call
	begun  V               // what it starts with
	values context.Context // of the caller who started it, without its end
	ctx    context.Context // of the job: these values, and an end
	cancel context.CancelCauseFunc
	run    func() (any, error) // runs it, as singleflight wants it

	waiters   int  // callers, at present; guarded by group.mu, as the next two
	discarded bool // nobody may have the result
	withdrawn bool // it was ended: who waits for it by now wants no error of it

	finished bool // guarded by singleflight, which runs one at a time; likewise what is below
	result   V
	err      error
}

// errAgain tells those who waited for a call to ask once more: nobody may have its result.
var errAgain = errors.New("lookerauth: the result was discarded")

// maxAgain is how often in a row a caller asks once more. A job that has its own result discarded
// would go on for ever.
const maxAgain = 10

func newGroup[K comparable, V any](s steps[K, V]) *group[K, V] {
	return &group[K, V]{steps: s, calls: make(map[K]*call[V])}
}

// get waits for key's one call, which it starts if there is none. When ctx ends, it returns at once
// what the steps make of the cause, and leaves the call to others, if there are any.
func (g *group[K, V]) get(ctx context.Context, key K) (result V, err error) {
	for again := 0; ; again++ {
		if ctx.Err() != nil {
			return result, context.Cause(ctx)
		}
		c, first, err := g.join(ctx, key, true)
		if err != nil {
			return result, err
		}
		done := g.results.DoChan(c.name, c.run)
		select {
		case <-ctx.Done():
			return result, g.abandon(ctx, key, c, first, done)
		case r := <-done:
			g.observe(key, c, first, r)
			if r.Err != errAgain || again == maxAgain {
				return r.Val.(V), r.Err
			}
		}
	}
}

// abandon lets a caller go whose context has ended. If he was the first, somebody else reports.
func (g *group[K, V]) abandon(
	ctx context.Context, key K, c *call[V], first bool, done <-chan singleflight.Result,
) error {
	err := g.steps.left(key, c.begun, context.Cause(ctx))
	g.leave(c)
	if first {
		go func() {
			defer g.running.Done()
			g.report(key, c, <-done)
		}()
	}
	return err
}

// observe is what a caller does who has a call's result.
func (g *group[K, V]) observe(key K, c *call[V], first bool, r singleflight.Result) {
	if !first {
		g.steps.joined(key)
		return
	}
	g.running.Done() // what follows is the caller's own, who may even close the group
	g.report(key, c, r)
}

// start starts a call that nobody waits for, unless one is under way or may not be. Its context has
// no values, as it belongs to nobody.
func (g *group[K, V]) start(key K) {
	c, first, err := g.join(context.Background(), key, false)
	if err != nil || !first {
		return
	}
	go func() {
		defer g.running.Done()
		result, err, _ := g.results.Do(c.name, c.run)
		g.report(key, c, singleflight.Result{Val: result, Err: err})
	}()
}

// join returns key's call under way, or a new one, with the values of ctx. Who is first reports it.
func (g *group[K, V]) join(
	ctx context.Context, key K, waited bool,
) (c *call[V], first bool, err error) {
	if c, err := g.underWay(key, waited); c != nil || err != nil {
		return c, false, err
	}
	refused := g.steps.refuse(key)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch c := g.calls[key]; { // which may have come meanwhile
	case g.closed != nil:
		return nil, false, g.closed
	case c != nil:
		g.enter(c, waited)
		return c, false, nil
	case refused != nil:
		return nil, false, refused
	}
	g.started++
	c = &call[V]{
		name:   strconv.FormatUint(g.started, 10),
		begun:  g.steps.begin(key, waited),
		values: context.WithoutCancel(ctx),
	}
	c.ctx, c.cancel = context.WithCancelCause(c.values)
	c.run = func() (any, error) { return g.run(key, c) }
	g.enter(c, waited)
	g.calls[key] = c
	g.running.Add(2) // until it has run, and until it is reported
	return c, true, nil
}

// underWay returns key's call under way, nil if there is none, or why there can be none any more.
func (g *group[K, V]) underWay(key K, waited bool) (*call[V], error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.calls[key]
	if c != nil {
		g.enter(c, waited)
	}
	return c, g.closed
}

// enter lets a caller wait for the call, if it does. mu is held.
func (g *group[K, V]) enter(c *call[V], waited bool) {
	if !waited {
		return
	}
	c.waiters++
	if c.waiters == 1 {
		g.steps.raise(c.begun)
	}
}

// leave lets a caller go. If nobody is left, the call is withdrawn, or goes on for nobody. Whoever
// comes before a withdrawn one has ended gets its result, if there is one, or asks again.
func (g *group[K, V]) leave(c *call[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.waiters--
	switch {
	case c.waiters > 0:
	case g.steps.withdraw(c.begun):
		c.withdrawn = true
		c.cancel(errAgain)
	default:
		g.steps.lower(c.begun)
	}
}

// run runs the call. Who joined it just before its end may have it run once more: the result is
// still the one that it has.
func (g *group[K, V]) run(key K, c *call[V]) (any, error) {
	if c.finished {
		return c.result, c.err
	}
	defer g.running.Done()
	defer c.cancel(nil)
	result, err := g.steps.run(c.ctx, key, c.begun)
	c.result, c.err = g.finish(key, c, result, err)
	c.finished = true
	return c.result, c.err
}

// finish lets the result come to rest.
func (g *group[K, V]) finish(key K, c *call[V], result V, err error) (V, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.calls, key)
	lost := g.closed
	if c.discarded || lost == nil && c.withdrawn && err != nil { // discard wants more than an end
		lost = errAgain
	}
	return g.steps.keep(key, result, err, lost)
}

// report reports a call once it has answered all who waited for it.
func (g *group[K, V]) report(key K, c *call[V], r singleflight.Result) {
	g.steps.report(c.values, key, r.Val.(V), r.Err)
}

// discard lets nobody have a result from before of key's call under way. Until the caller calls
// done, close is not complete; after close there is nothing to discard.
func (g *group[K, V]) discard(key K) (done func(), err error) {
	done, err = g.hold()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.calls[key]; c != nil && g.steps.discards(c.begun) {
		c.discarded = true
	}
	return done, nil
}

// mark has f look at what key's call under way has begun with, or change it, before its result
// comes to rest.
func (g *group[K, V]) mark(key K, f func(V)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.calls[key]; c != nil {
		f(c.begun)
	}
}

// keys returns the keys that have a call.
func (g *group[K, V]) keys() []K {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.calls))
}

// hold lets close not be complete until the caller calls done. After close it is too late.
func (g *group[K, V]) hold() (done func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return nil, g.closed
	}
	g.running.Add(1)
	return g.running.Done, nil
}

// close lets no call start from now on, and cancels those under way: callers get this error. They
// have ended when running is done. It reports whether it is the first.
func (g *group[K, V]) close(err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return false
	}
	g.closed = err
	for _, c := range g.calls {
		c.cancel(err)
	}
	return true
}
