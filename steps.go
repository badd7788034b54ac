package lookerauth

import "context"

// steps are what a group leaves to those who know what its jobs are. Those that may not block say
// so.
type steps[K comparable, V any] interface {
	// refuse says why no call for key may start now; nil if one may.
	refuse(key K) error

	// begin returns what a call starts with. waited is false if it is started for nobody. Like
	// raise, lower and withdraw, it must not block: the group's lock is held.
	begin(key K, waited bool) V

	// raise is told that somebody waits for a call, and nobody has before.
	raise(V)

	// withdraw is told that nobody waits for a call any more, and reports whether that is to end
	// then. lower is told if it goes on.
	withdraw(V) bool
	lower(V)

	// discards reports whether nobody may have the result of a call that discard meets: it may be
	// from before.
	discards(V) bool

	// run does the job. Its context has the values of the first caller's, and ends if the group is
	// closed or the call withdrawn.
	run(ctx context.Context, key K, begun V) (V, error)

	// left returns what a caller gets whose context ended first, with this cause.
	left(key K, begun V, cause error) error

	// keep decides what waiters get, and is the moment in which a result comes to rest. lost says
	// why nobody may have it; nil if they may. The group's lock is held, so that discard and close
	// come either before, and lost says so, or after.
	keep(key K, result V, err, lost error) (V, error)

	// joined is told of a caller who got the result of a call that another one had started.
	joined(key K)

	// report is told what waiters got, once they have it. Its context has the first caller's
	// values.
	report(ctx context.Context, key K, result V, err error)
}
