package lookerauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/token"
)

// fleet is the issuer of a process that shares its tokens with others. At its turn, a login puts a
// lease into the identity's record, or finds there what another process has put: a token, which it
// takes, or a lease, which it watches. Who has the lease logs in, and swaps it for the token.
//
// Nothing must be unlocked: a lease that stays the same for as long as it says is taken over. The
// Store is trusted with nothing. What fails in it, or is wrong in it, costs a login at most.
type fleet struct {
	login      *login
	records    *records
	names      *names
	clock      Clock
	timeout    time.Duration // of a login
	took       atomic.Int64  // nanoseconds that the last login that succeeded took
	background *guard.Background
}

// A lease says that others should have patience for 5 s at least, or for three times what the last
// login took. Of LoginTimeout enough is left for who takes a lease over to log in, too.
const (
	minPatience   = 5 * time.Second
	patienceShare = 6 // the part of LoginTimeout that minPatience may be
	maxShare      = 2 // the part that a longer patience may be
)

// A process watches others' leases for twice its patience. For those that must not log in at once
// it watches as many as this, one after the other, however long each of them takes.
const maxHolders = 20

func (f *fleet) op(who Identity) string { return f.login.op(who) }

func (f *fleet) issue(
	ctx context.Context, who Identity, b budget, w wanted,
) (issued, error) {
	// Finding the account out is the service account's to do, and to be held down for.
	if f.isServices(who) && f.login.clientID.Load() == nil {
		if _, err := f.login.users.service(ctx); err != nil {
			return issued{}, serviceError(ctx, err)
		}
	}
	name, err := f.names.inTime(ctx, who)
	if err != nil {
		return issued{}, serviceError(ctx, noKey(err))
	}
	c := f.claim(who, name, b, w)
	if !f.login.isReady(who) || !b.turn.Try() { // nobody waits for what is there
		if t := c.look(ctx); t != nil {
			return f.taken(who, *t, w.last), nil
		}
	}
	t, leased, err := c.take(ctx)
	if err != nil {
		return issued{}, err
	}
	if t != nil {
		return f.taken(who, *t, w.last), nil
	}
	return f.logIn(ctx, who, b, w, c, leased)
}

// maxTaken is how many tokens in a row are taken from the Store, each as the one before it was
// rejected. Then one is issued: somebody may bring old ones back.
const maxTaken = 2

// taken is a token from the Store, which is to replace last.
func (f *fleet) taken(who Identity, r token.Response, last *token.Token) issued {
	f.login.client.Learn(r)
	t := token.New(who.key, r)
	t.Taken = taken(last) + 1
	return issued{t, true}
}

// taken is how many tokens in a row were taken from the Store and rejected, last being the last
// one.
func taken(last *token.Token) uint8 {
	if last == nil || !last.Retired() {
		return 0
	}
	return last.Taken
}

func (f *fleet) isReady(who Identity) bool { return f.login.isReady(who) }

// isServices reports whether this is a user whose token Looker issues to the service account.
func (f *fleet) isServices(who Identity) bool { return who.isUser() && !f.isElsewhere(who) }

// isElsewhere reports whether this is a user whose token comes from Config.UserToken.
func (f *fleet) isElsewhere(who Identity) bool { return f.login.isElsewhere(who) }

// patience is how long others should have patience with a lease. Two processes must not use up one
// refresh token, which Config.UserToken may do for as long as a login may take.
func (f *fleet) patience(who Identity) time.Duration {
	switch {
	case f.isElsewhere(who) && who.byCredential():
		return 2 * f.timeout // with the look-up
	case f.isElsewhere(who):
		return f.timeout
	}
	patience := min(minPatience, f.timeout/patienceShare)
	return min(max(patience, 3*time.Duration(f.took.Load())), f.timeout/maxShare)
}

// claim is the way to the identity's lease. The service account's login must not keep a user's
// lease: that is taken when there is a token of that one's.
func (f *fleet) claim(who Identity, name string, b budget, w wanted) *claim {
	last := w.last
	lasting := func(r token.Response, least time.Duration) bool {
		t, now := token.New(token.Key{}, r), f.clock.Now().UnixNano()
		return !t.Expired(now) && t.Lasts(least, now)
	}
	patience := f.patience(who)
	limit := min(2*patience, f.timeout*2/3)
	if f.isElsewhere(who) {
		limit = maxHolders * patience
	}
	return &claim{
		records:  f.records,
		name:     name,
		turn:     b.turn,
		begin:    func(ctx context.Context) error { return f.login.take(ctx, who, b.turn) },
		patience: patience,
		limit:    limit,
		alone:    f.isElsewhere(who),
		good: func(r token.Response) bool {
			isNew := last == nil || !last.Is(r.AccessToken) && r.Sent.UnixNano() > last.Sent()
			return isNew && lasting(r, w.least) && taken(last) < maxTaken
		},
		keep: func(r token.Response) bool {
			return lasting(r, 0) && (last == nil || !last.Retired() || !last.Is(r.AccessToken))
		},
	}
}

// logIn logs in at Looker, and puts the token in the place of the lease, if there is one.
func (f *fleet) logIn(
	ctx context.Context, who Identity, b budget, w wanted, c *claim, leased entry,
) (issued, error) {
	begun := f.clock.Now()
	new, err := f.login.issue(ctx, who, b, w)
	if err == nil {
		f.took.Store(int64(f.clock.Now().Sub(begun)))
	}
	if err == nil && f.put(ctx, who, c, leased, new.token, begun) {
		return new, nil
	}
	if leased.Lease != nil { // the next process starts at once, also if this one is being closed
		f.background.Run(func() error {
			return f.endLease(context.WithoutCancel(ctx), c.name, leased)
		})
	}
	return new, err
}

// endLease takes a lease out of the record, which another process may have changed otherwise.
func (f *fleet) endLease(ctx context.Context, name string, leased entry) error {
	for lost := 0; lost < maxLost && !f.records.store.resting(); lost++ {
		without := record{Token: leased.Token}
		now, ok, err := f.records.swap(ctx, name, leased, without, f.ttl(leased.Token))
		if err != nil || ok || !now.has(leased.Lease) {
			return err
		}
		leased = now
	}
	return nil
}

// put stores a new token in place of the lease, or of what has taken that one's place, unless it is
// a good token, too. It reports whether the lease has gone. It has not if the token has ended by
// now, if the login has found another API key, and so the token another name, or if a swap failed.
//
// Nobody takes a lease over before its time. If it has gone by then, the swap was sent again: the
// first one has put the token there, and somebody has taken that out.
func (f *fleet) put(
	ctx context.Context, who Identity, c *claim, leased entry, t *token.Token, begun time.Time,
) bool {
	r := t.Response()
	name, err := f.names.of(ctx, who)
	if err != nil || f.ttl(&r) <= 0 {
		return false
	}
	old := leased
	if name != c.name {
		old = entry{}
	}
	for lost := 0; lost < maxLost && !f.records.store.resting(); lost++ {
		now, ok, err := f.records.swap(ctx, name, old, record{Token: &r}, f.ttl(&r))
		if err != nil {
			return false
		}
		isEarly := old.has(leased.Lease) && !now.has(leased.Lease) &&
			within(f.clock.Now().Sub(begun), leased.Lease.Patience)
		if ok || isEarly || c.found(now) != nil {
			return name == c.name
		}
		old = now
	}
	return false
}

// ttl is how long a token lives yet.
func (f *fleet) ttl(r *token.Response) time.Duration {
	if r == nil {
		return 0
	}
	return r.Sent.Add(r.Life).Sub(wallTime(f.clock))
}

// revoke also takes the stored token out, if it is one of these, or whatever is stored with all.
func (f *fleet) revoke(
	ctx context.Context, who Identity, tokens []*token.Token, all bool,
) ([]*token.Token, error) {
	stored, err := f.remove(ctx, who, tokens, all)
	if stored != nil && !slices.ContainsFunc(tokens, isToken(*stored)) {
		tokens = append(slices.Clip(tokens), token.New(who.key, *stored))
	}
	tokens, failed := f.login.revoke(ctx, who, tokens, all)
	return tokens, errors.Join(err, failed)
}

// discard ends a token that is not in the Store.
func (f *fleet) discard(ctx context.Context, who Identity, t *token.Token) error {
	return f.login.discard(ctx, who, t)
}

// release lets the tokens be, as other processes may use them. One that was invalidated here is
// only taken out of the Store: others' requests may go well with it.
func (f *fleet) release(ctx context.Context, who Identity, tokens []*token.Token) error {
	tokens = slices.DeleteFunc(tokens, func(t *token.Token) bool { return !t.Invalidated() })
	return f.unshare(ctx, who, tokens)
}

// unshare takes the tokens out of the Store, as far as that works.
func (f *fleet) unshare(ctx context.Context, who Identity, tokens []*token.Token) error {
	if len(tokens) > 0 {
		_, _ = f.remove(ctx, who, tokens, false)
	}
	return nil
}

func isToken(r token.Response) func(*token.Token) bool {
	return func(t *token.Token) bool { return t.Is(r.AccessToken) }
}

// remove takes the identity's stored token out, if it is one of these, or with all, and returns it.
// A lease stays. With all it is put there anew: a token on its way to its place, sent by who has
// given that up, does not get there.
func (f *fleet) remove(
	ctx context.Context, who Identity, tokens []*token.Token, all bool,
) (removed *token.Response, err error) {
	name, err := f.names.inTime(ctx, who)
	if err != nil {
		const unnamed = "lookerauth: no name for the stored token, " +
			"which other processes may still use: %w"
		return nil, fmt.Errorf(unnamed, err)
	}
	const failed = "lookerauth: the Store failed, other processes may still use a token: %w"
	now, err := f.records.get(ctx, name)
	for ok, lost := false, 0; err == nil && !ok; lost++ {
		t := now.Token
		if !all && (t == nil || !slices.ContainsFunc(tokens, isToken(*t))) ||
			t == nil && now.Lease == nil {
			return removed, nil
		}
		if lost > maxLost {
			err = errors.New("its swaps have no effect")
			break
		}
		removed = cmp.Or(t, removed)
		var ttl time.Duration
		if now.Lease != nil {
			ttl = 2 * now.Lease.Patience
		}
		now, ok, err = f.records.swap(ctx, name, now, record{Lease: now.Lease}, ttl)
	}
	if err != nil {
		return removed, fmt.Errorf(failed, err)
	}
	return removed, nil
}
