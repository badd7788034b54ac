package lookerauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/queue"
	"github.com/lookerauth/lookerauth/internal/token"
)

// issuer gets new tokens, and sees to their end: login does it at Looker, and fleet looks into the
// Store before.
type issuer interface {
	// op is the call that logs this identity in.
	op(who Identity) string

	// isReady reports whether a login need not wait for the service account's token.
	isReady(who Identity) bool

	// issue gets a new token. One that comes with an error has to be ended, with discard.
	issue(ctx context.Context, who Identity, b budget, w wanted) (issued, error)

	// discard ends a token that nobody has got.
	discard(ctx context.Context, who Identity, t *token.Token) error

	// revoke ends tokens for everybody, and returns them. With all, that includes what only the
	// Store has.
	revoke(
		ctx context.Context, who Identity, tokens []*token.Token, all bool,
	) ([]*token.Token, error)

	// release ends tokens that this Cache has no use for any more.
	release(ctx context.Context, who Identity, tokens []*token.Token) error

	// unshare lets no other process have these tokens, which are of no use any more.
	unshare(ctx context.Context, who Identity, tokens []*token.Token) error
}

// wanted says which token will do.
type wanted struct {
	last  *token.Token  // that it is to replace; nil if there is none
	least time.Duration // that it has to live yet; 0 if it only has to be usable
}

// leastKey is the context key of how long a token has to live yet, in the context of a login.
type leastKey struct{}

// leastLife is how long the token of a login in ctx has to live yet; 0 if it only has to be usable.
func leastLife(ctx context.Context) time.Duration {
	least, _ := ctx.Value(leastKey{}).(time.Duration)
	return least
}

// withLeastLife returns a context for who waits for a token that lives for so long yet. A login
// that somebody else has started may get one that does not.
func withLeastLife(ctx context.Context, least time.Duration) context.Context {
	if leastLife(ctx) == least {
		return ctx
	}
	return context.WithValue(ctx, leastKey{}, least)
}

// issued is a new token, and where it comes from.
type issued struct {
	token  *token.Token
	stored bool // by another process, which had logged in
}

// APIKey is an API key of Looker's. It is printed as a [Config] is.
type APIKey struct{ ClientID, ClientSecret string }

// Format writes the key without its secrets.
func (k APIKey) Format(f fmt.State, _ rune) { printWithout(f, k) }

// MarshalText returns the key without its secrets. The error is always nil.
func (k APIKey) MarshalText() ([]byte, error) {
	const format = "lookerauth.APIKey{ClientID: %s, ClientSecret: %s}"
	return fmt.Appendf(nil, format, mask(k.ClientID), mask(k.ClientSecret)), nil
}

// MarshalBinary refuses to encode the key.
func (k APIKey) MarshalBinary() ([]byte, error) { return refuseBinary() }

// Login is a login that has just succeeded, as [Config.AfterLogin] gets it.
type Login struct {
	Identity Identity
	UserID   string       // Looker's own id; "" for the service account
	Client   *http.Client // authorized with the new token, whatever becomes of that; no timeout
}

// Format writes whose login it is, whatever the verb.
func (l Login) Format(f fmt.State, _ rune) { printWithout(f, l) }

// MarshalText returns whose login it is. The error is always nil.
func (l Login) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "lookerauth.Login{Identity: %v, UserID: %q}", l.Identity, l.UserID), nil
}

// login is the issuer that asks Looker.
type login struct {
	client     *looker.Client
	users      *users
	apiKey     func(ctx context.Context) (APIKey, error)
	afterLogin func(ctx context.Context, login Login) error // may be nil
	sender     *sender                                      // for AfterLogin
	background *guard.Background
	logins     *calls
	logouts    *calls // apart, so that logouts cannot hold up logins
	clock      Clock
	timeout    time.Duration // of a login
	events     *events

	// clientID is that of the last login that Looker let in: until it lets a new key in, users'
	// tokens are issued through the old one's account. Before the first it is that of the key to
	// log in with, and nil as long as nobody has asked for that.
	clientID atomic.Pointer[string]
}

func (l *login) op(who Identity) string {
	if who.isUser() {
		return l.users.op()
	}
	return opLogin
}

func (l *login) isReady(who Identity) bool {
	return !who.isUser() || !l.users.needService(who) || l.users.held() != nil
}

// isElsewhere reports whether this is a user whose token comes from Config.UserToken.
func (l *login) isElsewhere(who Identity) bool { return who.isUser() && l.users.elsewhere != nil }

func (l *login) issue(
	ctx context.Context, who Identity, b budget, w wanted,
) (issued, error) {
	var t *token.Token
	var userID string
	var err error
	if who.isUser() {
		t, userID, err = l.users.logIn(ctx, who, b, w.last)
	} else {
		t, err = l.logIn(ctx, who, b)
	}
	if err != nil {
		return issued{}, err
	}
	return issued{token: t}, l.prepare(ctx, who, userID, b.turn, t)
}

// logIn logs the service account in. The key is asked for before each try.
func (l *login) logIn(ctx context.Context, who Identity, b budget) (*token.Token, error) {
	return try(ctx, who, b, func() (*token.Token, error) {
		var hasKey atomic.Bool
		ask := func(ctx context.Context) (*token.Token, error) {
			key, err := l.apiKey(ctx)
			if err != nil {
				if ctx.Err() != nil {
					err = context.Cause(ctx) // why it was cut short
				}
				return nil, noKey(err)
			}
			hasKey.Store(true)
			r, err := l.client.Login(ctx, key.ClientID, key.ClientSecret)
			if err != nil {
				return nil, err
			}
			l.clientID.Store(&key.ClientID)
			return token.New(who.key, r), nil
		}
		t, err := makeCall(ctx, l.logins, opLogin, who, b.turn, ask, l.endLate(ctx))
		if late := (*unanswered)(nil); errors.As(err, &late) && !hasKey.Load() {
			return nil, noKey(late) // Looker was not asked
		}
		return t, err
	})
}

// take takes the turn of a login; a user's, if need be, once there is a token of the service
// account's.
func (l *login) take(ctx context.Context, who Identity, turn *queue.Turn) error {
	if who.isUser() {
		return l.users.take(ctx, who, turn)
	}
	return l.logins.take(ctx, opLogin, who, turn)
}

// prepare runs AfterLogin in a goroutine of its own: not even a panic in it may lose the token.
func (l *login) prepare(
	ctx context.Context, who Identity, userID string, turn *queue.Turn, t *token.Token,
) error {
	if l.afterLogin == nil {
		return nil
	}
	run := func(ctx context.Context) (none struct{}, _ error) {
		login := Login{who, userID, l.sender.clientWith(t.Header)}
		err := l.afterLogin(ctx, login)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx) // why it was cut short
		}
		return none, err
	}
	late := func(struct{}, error) {} // the token is ended by then
	limit := turn.Left()
	_, err := guard.Bounded(ctx, l.background, l.clock, limit, tooLate(l.timeout), run, late)
	if err == nil {
		return nil
	}
	err = &userError{"AfterLogin", l.client.Scrub(err)}
	return &CallError{Op: l.op(who), Identity: who, Err: err}
}

// endLate logs a token out that comes when nobody waits for it any more.
func (l *login) endLate(ctx context.Context) func(*token.Token, error) {
	return func(t *token.Token, _ error) {
		if t == nil {
			return
		}
		who := Identity{t.Key()}
		l.events.discarded(ctx, who)
		l.background.Run(func() error { return l.logOut(context.WithoutCancel(ctx), who, t) })
	}
}

func (l *login) discard(ctx context.Context, who Identity, t *token.Token) error {
	return l.release(ctx, who, []*token.Token{t})
}

// release logs tokens out that are nobody else's: neither exported, nor from where users' tokens
// come from, which may return the same one again, and would lose the refresh token with it.
func (l *login) release(ctx context.Context, who Identity, tokens []*token.Token) error {
	if l.isElsewhere(who) {
		return nil
	}
	tokens = slices.DeleteFunc(slices.Clone(tokens), (*token.Token).Exported)
	_, err := l.revoke(ctx, who, tokens, false)
	return err
}

// revoke logs the tokens out at Looker, the newest first, as many at once as the queue lets.
func (l *login) revoke(
	ctx context.Context, who Identity, tokens []*token.Token, _ bool,
) ([]*token.Token, error) {
	errs := make([]error, len(tokens))
	var all sync.WaitGroup
	for i, t := range slices.Backward(tokens) {
		all.Go(func() { errs[i] = l.logOut(ctx, who, t) })
	}
	all.Wait()
	return tokens, errors.Join(errs...)
}

func (l *login) unshare(context.Context, Identity, []*token.Token) error { return nil }

func (l *login) logOut(ctx context.Context, who Identity, t *token.Token) error {
	isWaited := func() bool { return true }
	b := budget{l.logouts.queue.Turn(queue.Waited, 0), isWaited, new(atomic.Pointer[CallError])}
	ask := func(ctx context.Context) (none struct{}, _ error) {
		return none, l.client.Logout(ctx, t)
	}
	late := func(struct{}, error) {}
	_, err := try(ctx, who, b, func() (struct{}, error) {
		return makeCall(ctx, l.logouts, opLogout, who, b.turn, ask, late)
	})
	if err != nil {
		var failed *CallError
		errors.As(asCallError(err, opLogout, who), &failed)
		l.events.logoutFailed(ctx, failed, wallTime(l.clock))
		return failed
	}
	l.events.loggedOut(ctx, who)
	return nil
}
