package lookerauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/seal"
	"github.com/lookerauth/lookerauth/internal/token"
)

// fleet is the issuer of a process that shares its tokens with others. A login first looks into the
// Store, then takes the identity's lock, looks again, logs in, and stores the token. Whatever fails
// in the Store costs a login at most.
type fleet struct {
	login    *login
	store    *boundedStore
	keys     *seal.Keyring
	scope    string // keeps the names of different Lookers, and of different kinds of token, apart
	clock    Clock
	events   *events
	unopened atomic.Bool // a value that does not open was logged
}

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
	if t := f.take(ctx, who, name, last); t != nil {
		return issued{t, true}, nil
	}
	if who.isUser() { // the service account's login must not keep the user's lock
		if _, err := f.login.service(ctx); err != nil {
			return issued{}, serviceError(ctx, err)
		}
	}
	unlock := f.store.lock(ctx, name)
	defer unlock()
	if t := f.take(ctx, who, name, last); t != nil { // by the process that had the lock before
		return issued{t, true}, nil
	}
	new, err := f.login.issue(ctx, who, b, last)
	if err == nil {
		f.put(ctx, who, new.token)
	}
	return new, err
}

// name is where the identity's token is stored.
func (f *fleet) name(ctx context.Context, who Identity) (string, error) {
	clientID, err := f.account(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "lookerauth %q %q %q", f.scope, clientID, who.userID()))
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

// take returns the stored token if it is usable and newer than the last one that was seen here. A
// stored one that was rejected here is removed.
func (f *fleet) take(
	ctx context.Context, who Identity, name string, last *token.Token,
) *token.Token {
	if f.store.resting() {
		return nil
	}
	e, err := f.read(ctx, name)
	if err != nil {
		return nil
	}
	if last != nil && last.Is(e.response.AccessToken) {
		if last.Retired() {
			_ = f.store.remove(ctx, name, e.value) // or it is overwritten in a moment
		}
		return nil
	}
	t := token.New(who.key, e.response)
	if t.Expired(f.clock.Now().UnixNano()) {
		return nil
	}
	// A rejected one's replacement may be by a clock that is behind.
	if last != nil && !last.Retired() && t.Sent() <= last.Sent() {
		return nil
	}
	return t
}

// put stores a new token for as long as it lives. It is named anew: the login may have found
// another API key.
func (f *fleet) put(ctx context.Context, who Identity, t *token.Token) {
	name, err := f.name(ctx, who)
	r := t.Response()
	ttl := r.Life - wallTime(f.clock).Sub(r.Sent)
	if err != nil || ttl <= 0 || f.store.resting() {
		return
	}
	_ = f.store.put(ctx, name, f.seal(name, r), ttl)
}

// revoke also takes the stored token out, if it is one of these, or any with all.
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
// only taken out of the Store: another process's requests may go well with it.
func (f *fleet) release(ctx context.Context, who Identity, tokens []*token.Token) error {
	tokens = slices.DeleteFunc(tokens, func(t *token.Token) bool { return !t.Invalidated() })
	if len(tokens) == 0 {
		return nil
	}
	_, err := f.remove(ctx, who, func(r token.Response) bool {
		return slices.ContainsFunc(tokens, isToken(r))
	})
	return err
}

func isToken(r token.Response) func(*token.Token) bool {
	return func(t *token.Token) bool { return t.Is(r.AccessToken) }
}

// remove takes the identity's stored token out, if which says so, and returns it.
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
	e, err := f.read(ctx, name)
	if errors.Is(err, ErrNotStored) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf(failed, err)
	}
	if !which(e.response) {
		return nil, nil
	}
	if err := f.store.remove(ctx, name, e.value); err != nil {
		return &e.response, fmt.Errorf(failed, err)
	}
	return &e.response, nil
}

// entry is a token in the Store, with the value that holds it there.
type entry struct {
	response token.Response
	value    []byte
}

// read returns what is stored under the name. A value that does not open is as good as none.
func (f *fleet) read(ctx context.Context, name string) (entry, error) {
	value, err := f.store.get(ctx, name)
	if err != nil {
		return entry{}, err
	}
	r, err := f.open(name, value)
	if err == nil {
		return entry{r, value}, nil
	}
	if !f.unopened.Swap(true) {
		f.events.unopened(ctx, err)
	}
	return entry{}, ErrNotStored
}

func (f *fleet) seal(name string, r token.Response) []byte {
	text, _ := json.Marshal(r) // nothing in it can fail
	return f.keys.Seal(name, text)
}

func (f *fleet) open(name string, value []byte) (r token.Response, err error) {
	text, err := f.keys.Open(name, value)
	if err != nil {
		return r, err
	}
	if json.Unmarshal(text, &r) != nil || !looker.IsAccessToken(r.AccessToken) ||
		r.Life <= 0 || r.Life > looker.MaxLife {
		return r, errors.New("there is no token in it")
	}
	if now := wallTime(f.clock); r.Sent.After(now) {
		r.Sent = now // it was issued by a clock that is ahead, and is as old as this at least
	}
	return r, nil
}
