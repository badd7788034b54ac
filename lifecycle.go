package lookerauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/queue"
	"github.com/lookerauth/lookerauth/internal/token"
)

// lifecycle is what happens to tokens:
//
//	login ──▶ kept ──▶ replaced ─────────┐
//	  │         ├────▶ invalidated ──────┤ Looker may still accept it: it ends with its identity
//	  │         ├────▶ evicted ──────────┴──▶ released: logged out, unless others may use it
//	  │         └────▶ removed, by Logout ──▶ revoked: logged out, for everybody
//	  └──▶ discarded: Logout or Close came first, or AfterLogin failed
//
// Close releases all. A token that nobody ends expires.
type lifecycle struct {
	tokens    *token.LRU
	logins    *group[Identity, *outcome]
	heldDown  *queue.HoldDown[Identity]
	issuer    issuer
	queue     *queue.Queue // of logins
	clock     Clock
	timeout   time.Duration // of a login
	maxLogins int
	events    *events

	// What runs in the background ends with ctx. Nothing is added to it once Close has released all
	// tokens and no login is under way.
	background *guard.Background
	ctx        context.Context
	cancel     context.CancelFunc

	closed   chan struct{} // closed with closeErr set, once everything has ended
	closeErr error
}

// outcome is what came of a login, or comes of one under way.
type outcome struct {
	turn   *queue.Turn
	waited atomic.Bool               // somebody waits for it
	wanted atomic.Bool               // likewise, or has left since
	failed atomic.Pointer[CallError] // the last try, which failed; nil unless another one follows

	token   *token.Token   // may be set although the login failed: then it has to be ended
	found   bool           // the token was there: another login had just ended
	stored  bool           // likewise, in the Store: another process had logged in
	refused bool           // there was no login: another one had just failed
	onlyNew bool           // Logout came before the turn; guarded by the lock of the group
	gone    []*token.Token // Logout has ended them meanwhile; likewise
	ended   time.Time
	took    time.Duration // from its turn to its end

	ctx     context.Context // events in it are held back until release
	release func()
}

// errDiscarded is what a caller gets whose logins are discarded, one after the other.
var errDiscarded = fmt.Errorf("lookerauth: Logout has discarded %d logins in a row: "+
	"does a function in the Config log out the identity that it is called for?", maxAgain+1)

// wait returns a new token of this identity, from the one login that there is for it.
func (l *lifecycle) wait(ctx context.Context, who Identity) (*token.Token, error) {
	o, err := l.logins.get(ctx, who)
	switch err {
	case nil:
		return o.token, nil
	case errAgain:
		return nil, errDiscarded
	}
	return nil, err
}

// refresh replaces the identity's token in the background.
func (l *lifecycle) refresh(who Identity) { l.logins.start(who) }

// refuse holds an identity down after a failed login.
func (l *lifecycle) refuse(who Identity) error {
	age, left, err := l.heldDown.Refuse(who, wallTime(l.clock))
	if err == nil {
		return nil
	}
	return refusedAgain(err, age, left)
}

// begin gives a login its place in the queue. The service account's is the first, as all others
// wait for it; among refreshes it is that of the token that becomes unusable first.
func (l *lifecycle) begin(who Identity, waited bool) *outcome {
	o := &outcome{}
	o.waited.Store(waited)
	o.wanted.Store(waited)
	rank := queue.Unwaited
	switch {
	case !who.isUser():
		rank = queue.First
	case waited:
		rank = queue.Waited
	}
	var due int64
	if last := l.tokens.Last(who.key); last != nil {
		due = last.UsableUntil()
	}
	o.turn = l.queue.Turn(rank, due)
	return o
}

// raise makes a login a caller's.
func (l *lifecycle) raise(o *outcome) {
	o.waited.Store(true)
	o.wanted.Store(true)
	o.turn.Raise()
}

// lower makes it a refresh.
func (l *lifecycle) lower(o *outcome) {
	o.waited.Store(false)
	o.turn.Lower()
}

// withdraw gives the place of a login up, unless its turn has begun: what is on the wire goes on.
func (l *lifecycle) withdraw(o *outcome) bool { return o.turn.Withdraw() }

// discards says whether Logout discards a login. If its turn has not begun, its token will be a new
// one, unless it is found somewhere: keep sees to that.
func (l *lifecycle) discards(o *outcome) bool {
	o.onlyNew = true
	return o.turn.Begun()
}

// run gets a new token, unless another login has just ended.
func (l *lifecycle) run(ctx context.Context, who Identity, o *outcome) (*outcome, error) {
	least := leastLife(ctx)
	ctx = withLeastLife(ctx, 0) // which is not the service account's
	o.ctx, o.release = l.events.hold(looker.WithoutTrace(ctx))
	if err := l.refuse(who); err != nil {
		o.refused = true
		return o, err
	}
	now := l.clock.Now().UnixNano()
	want := wanted{l.tokens.Last(who.key), least}
	if last := want.last; last != nil && last.Fresh(now) && last.Lasts(want.least, now) {
		o.token, o.found = last, true
		return o, nil
	}
	defer o.turn.Skip() // it has a slot yet if what the Store had will do
	new, err := l.issuer.issue(o.ctx, who, budget{o.turn, o.waited.Load, &o.failed}, want)
	o.token, o.stored = new.token, new.stored
	o.ended, o.took = wallTime(l.clock), o.turn.Elapsed()
	if err != nil {
		return o, asCallError(err, l.issuer.op(who), who)
	}
	life := new.token.Response().Life
	if new.stored {
		l.events.takenFromStore(o.ctx, who, o.ended)
	} else {
		l.events.granted(o.ctx, who, o.wanted.Load(), life, o.took, o.ended)
	}
	return o, nil
}

// keep makes the token its identity's, remembers the failure, or discards what nobody may have.
func (l *lifecycle) keep(who Identity, o *outcome, err, lost error) (*outcome, error) {
	isGone := o.token != nil && slices.ContainsFunc(o.gone, isToken(o.token.Response()))
	if lost == nil && (isGone || o.onlyNew && (o.found || o.stored || o.refused)) {
		lost = errAgain
	}
	if err == nil && lost == nil {
		return o, l.put(who, o)
	}
	if o.token != nil && !o.found && !isGone {
		l.discard(o.ctx, who, o.token, err, lost)
	}
	if lost != nil {
		return o, lost
	}
	failed := ownFailure(who, err)
	switch {
	case o.refused:
	case errors.Is(err, errPaused): // its own, or the service account's
		if failed != nil {
			l.events.loginPaused(o.ctx, failed, err, o.wanted.Load(), o.ended)
		}
		if !o.waited.Load() { // each request with its aging token would start another login
			l.heldDown.Postpone(who, err, pausedHoldDown, o.ended)
		}
	case failed != nil:
		fixed, least := failed.holdDown()
		holdDown := l.heldDown.Add(who, err, fixed, least, o.ended)
		l.events.loginFailed(o.ctx, failed, err, o.wanted.Load(), holdDown, o.took, o.ended)
	}
	return o, err
}

// put keeps the token. If it is a found one that has been invalidated or taken out since, waiters
// have to ask again; it is not ended then: whoever did that sees to it, and others may have it.
func (l *lifecycle) put(who Identity, o *outcome) error {
	left, ok := l.tokens.Put(o.token, o.ended.UnixNano())
	if !ok {
		return errAgain
	}
	l.heldDown.Remove(who)
	if left != nil {
		evicted := Identity{left.Key}
		l.events.evicted(o.ctx, evicted, left.Usable, o.ended)
		l.background.Run(func() error { return l.issuer.release(l.ctx, evicted, left.Tokens) })
	}
	return nil
}

// discard ends the token of a login that failed with err, or whose result nobody may have or waits
// for any more, as lost says. It is only released if others may have it from the Store.
func (l *lifecycle) discard(ctx context.Context, who Identity, t *token.Token, err, lost error) {
	l.events.discarded(ctx, who)
	tokens := []*token.Token{t}
	l.background.Run(func() error {
		switch {
		case lost == errAgain: // after Logout, which ends all
			_, err := l.issuer.revoke(l.ctx, who, tokens, false)
			return err
		case err != nil:
			return l.issuer.discard(l.ctx, who, t)
		}
		return l.issuer.release(l.ctx, who, tokens)
	})
}

func (l *lifecycle) joined(Identity) { l.events.joined() }

func (l *lifecycle) report(_ context.Context, _ Identity, o *outcome, _ error) { o.release() }

// invalidate takes a token out of service if it is the current one.
func (l *lifecycle) invalidate(ctx context.Context, who Identity, accessToken string) {
	if l.tokens.Invalidate(who.key, accessToken) {
		l.events.invalidated(ctx, who, byInvalidate, wallTime(l.clock))
	}
}

// reject is invalidate of a token that Looker rejected, unless it is not to blame.
func (l *lifecycle) reject(ctx context.Context, who Identity, t *token.Token, by rejecter) {
	now := wallTime(l.clock)
	if l.tokens.Reject(who.key, t.OAuth().AccessToken, now.UnixNano()) {
		l.events.invalidated(ctx, who, by, now)
	}
}

// ended takes a token out of service that somebody has logged out at Looker.
func (l *lifecycle) ended(ctx context.Context, who Identity, t *token.Token) {
	if !l.tokens.End(who.key, t.OAuth().AccessToken) {
		return
	}
	l.events.loggedOut(ctx, who)
	done, err := l.logins.hold()
	if err != nil {
		return
	}
	l.background.Run(func() error {
		defer done()
		return l.issuer.unshare(l.ctx, who, []*token.Token{t})
	})
}

// logOut takes an identity out, and ends its tokens for everybody. A login under way ends with a
// token that nobody may have. Tokens whose logout fails are kept for the next one.
func (l *lifecycle) logOut(ctx context.Context, who Identity) error {
	refuseNil(ctx)
	done, err := l.logins.discard(who)
	if err != nil {
		return err
	}
	defer done()
	l.heldDown.Remove(who)
	var tokens []*token.Token
	begun := l.clock.Now().UnixNano()
	if left := l.tokens.Remove(who.key, begun); left != nil {
		tokens = left.Tokens
	}
	tokens, err = l.issuer.revoke(ctx, who, tokens, true)
	if err != nil {
		l.tokens.Keep(tokens, l.clock.Now().UnixNano())
	}
	// Somebody may have found a token in the Store before it was taken out of there.
	l.logins.mark(who, func(o *outcome) { o.gone = append(o.gone, tokens...) })
	if t := l.tokens.Last(who.key); t != nil &&
		(t.Sent() < begun || slices.ContainsFunc(tokens, isToken(t.Response()))) {
		l.tokens.End(who.key, t.OAuth().AccessToken)
	}
	return err
}
