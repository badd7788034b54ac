package lookerauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
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
	scope      string // keeps the names of different Lookers, and kinds of token, apart
	clock      Clock
	timeout    time.Duration // of a login
	took       atomic.Int64  // nanoseconds that the last login took
	background *guard.Background
}

const (
	minPatience = 5 * time.Second // what a lease says at least, if a login may take that long
	watchShare  = 3               // the part of LoginTimeout in which others' leases are watched
)

func (f *fleet) issue(
	ctx context.Context, who Identity, b budget, last *token.Token,
) (issued, error) {
	// Finding the account out is the service account's to do, and to be held down for.
	if who.isUser() && f.login.clientID.Load() == nil {
		if _, err := f.login.service(ctx); err != nil {
			return issued{}, serviceError(ctx, err)
		}
	}
	name, err := f.name(ctx, who)
	if err != nil {
		return issued{}, serviceError(ctx, noKey(err))
	}
	defer b.turn.GiveUp()
	c := f.claim(name, b, last)
	if !f.isReady(who) || !b.turn.Try() { // nobody waits for what is there
		if t := c.look(ctx); t != nil {
			return issued{token.New(who.key, *t), true}, nil
		}
	}
	if !f.isReady(who) { // the service account's login must not keep the user's lease
		b.turn.GiveUp()
		if _, err := f.login.service(ctx); err != nil {
			return issued{}, serviceError(ctx, err)
		}
	}
	t, leased, err := c.take(ctx)
	if err != nil {
		return issued{}, noTurn(loginOp(who), who, err)
	}
	if t != nil {
		return issued{token.New(who.key, *t), true}, nil
	}
	return f.logIn(ctx, who, b, c, leased)
}

// isReady reports whether a login need not wait for the service account's token.
func (f *fleet) isReady(who Identity) bool { return !who.isUser() || f.login.usable() }

// claim is the way to the identity's lease, for a login that is to replace last.
func (f *fleet) claim(name string, b budget, last *token.Token) *claim {
	isUsable := func(r token.Response) bool {
		return !token.New(token.Key{}, r).Expired(f.clock.Now().UnixNano())
	}
	took := time.Duration(f.took.Load())
	return &claim{
		records:  f.records,
		name:     name,
		turn:     b.turn,
		patience: min(max(minPatience, 3*took), f.timeout),
		limit:    f.timeout / watchShare,
		good: func(r token.Response) bool {
			isNew := last == nil || !last.Is(r.AccessToken) && r.Sent.UnixNano() > last.Sent()
			return isNew && isUsable(r)
		},
		keep: func(r token.Response) bool {
			return isUsable(r) && (last == nil || !last.Retired() || !last.Is(r.AccessToken))
		},
	}
}

// logIn logs in at Looker, and puts the token in the place of the lease, if there is one.
func (f *fleet) logIn(
	ctx context.Context, who Identity, b budget, c *claim, leased entry,
) (issued, error) {
	begun := f.clock.Now()
	new, err := f.login.issue(ctx, who, b, nil)
	f.took.Store(int64(f.clock.Now().Sub(begun)))
	if err == nil && f.put(ctx, who, c, leased, new.token) {
		return new, nil
	}
	if leased.Lease != nil { // the next process starts at once, also if this one is being closed
		f.background.Run(func() error {
			ctx, without := context.WithoutCancel(ctx), record{Token: leased.Token}
			_, _, err := f.records.swap(ctx, c.name, leased, without, f.ttl(leased.Token))
			return err
		})
	}
	return new, err
}

// put stores a new token in place of the lease, or of what has taken that one's place, unless it is
// a good token, too. It reports whether the lease has gone: not if the token has ended by now, if
// the login has found another API key, and so the token another name, or if ctx has ended.
func (f *fleet) put(
	ctx context.Context, who Identity, c *claim, leased entry, t *token.Token,
) bool {
	r := t.Response()
	name, err := f.name(ctx, who)
	if err != nil || f.ttl(&r) <= 0 {
		return false
	}
	old := leased
	if name != c.name {
		old = entry{}
	}
	for lost := 0; lost < maxLost && !f.records.store.resting(); lost++ {
		now, ok, err := f.records.swap(ctx, name, old, record{Token: &r}, f.ttl(&r))
		if err != nil || ok || c.found(now) != nil {
			break
		}
		old = now
	}
	return name == c.name && ctx.Err() == nil
}

// ttl is how long a token lives yet.
func (f *fleet) ttl(r *token.Response) time.Duration {
	if r == nil {
		return 0
	}
	return r.Sent.Add(r.Life).Sub(wallTime(f.clock))
}

// name is where the identity's record is stored: a hash, which tells nothing to who cannot guess
// what it is the hash of.
func (f *fleet) name(ctx context.Context, who Identity) (string, error) {
	clientID, err := f.account(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "lookerauth %q %q %q", f.scope, clientID, who))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// account returns the client id of the API key that is in use, and asks for one if none is known.
func (f *fleet) account(ctx context.Context) (clientID string, err error) {
	if known := f.login.clientID.Load(); known != nil {
		return *known, nil
	}
	key, err := f.login.apiKey(ctx)
	if err == nil {
		f.login.clientID.Store(&key.ClientID)
	}
	return key.ClientID, err
}

// revoke also takes the stored token out, if it is one of these, or whatever is stored with all.
func (f *fleet) revoke(
	ctx context.Context, who Identity, tokens []*token.Token, all bool,
) error {
	stored, err := f.remove(ctx, who, func(r token.Response) bool {
		return all || slices.ContainsFunc(tokens, isToken(r))
	})
	if stored != nil && !slices.ContainsFunc(tokens, isToken(*stored)) {
		tokens = append(slices.Clip(tokens), token.New(who.key, *stored))
	}
	return errors.Join(err, f.login.revoke(ctx, who, tokens, all))
}

// release lets the tokens be, as other processes may use them. One that was invalidated here is
// only taken out of the Store, as far as that works: others' requests may go well with it.
func (f *fleet) release(ctx context.Context, who Identity, tokens []*token.Token) error {
	tokens = slices.DeleteFunc(tokens, func(t *token.Token) bool { return !t.Invalidated() })
	if len(tokens) == 0 {
		return nil
	}
	_, _ = f.remove(ctx, who, func(r token.Response) bool {
		return slices.ContainsFunc(tokens, isToken(r))
	})
	return nil
}

func isToken(r token.Response) func(*token.Token) bool {
	return func(t *token.Token) bool { return t.Is(r.AccessToken) }
}

// remove takes the identity's stored token out, if which says so, and returns it. A lease stays.
func (f *fleet) remove(
	ctx context.Context, who Identity, which func(token.Response) bool,
) (removed *token.Response, err error) {
	var name string
	err = <-guard.Run(func() (err error) {
		name, err = f.name(ctx, who)
		return err
	})
	if err != nil {
		const unnamed = "lookerauth: no API key, by which stored tokens are named: %w"
		return nil, fmt.Errorf(unnamed, err)
	}
	const failed = "lookerauth: the Store failed, other processes may still use a token: %w"
	now, err := f.records.get(ctx, name)
	for ok := false; err == nil && !ok; {
		if now.Token == nil || !which(*now.Token) {
			return removed, nil
		}
		removed = now.Token
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
