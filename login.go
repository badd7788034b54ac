package lookerauth

import (
	"cmp"
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
	// issue gets a new token. last is the one that it is to replace; nil if there is none. A token
	// that comes with an error has to be ended.
	issue(ctx context.Context, who Identity, b budget, last *token.Token) (issued, error)

	// revoke ends tokens for everybody. With all, that includes what only the Store has.
	revoke(ctx context.Context, who Identity, tokens []*token.Token, all bool) error

	// release ends tokens that this Cache has no use for any more.
	release(ctx context.Context, who Identity, tokens []*token.Token) error

	// unshare lets no other process have these tokens, which are of no use any more.
	unshare(ctx context.Context, who Identity, tokens []*token.Token) error
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
	apiKey     func(ctx context.Context) (APIKey, error)
	afterLogin func(ctx context.Context, login Login) error // may be nil
	sender     *sender                                      // for AfterLogin
	background *guard.Background
	logins     *calls
	logouts    *calls // apart, so that logouts cannot hold up logins
	clock      Clock
	timeout    time.Duration // of a login
	events     *events

	// held returns the service account's token, nil if it has to be waited for; service waits for
	// it, and replaceService for the one to use instead of one that Looker rejected: that itself,
	// if it is not to blame. acceptService says that Looker took the replacement.
	held           func() *token.Token
	service        func(ctx context.Context) (*token.Token, error)
	replaceService func(ctx context.Context, rejected *token.Token) (*token.Token, error)
	acceptService  func(replacement *token.Token)

	// clientID is that of the last login that Looker let in: until it lets a new key in, users'
	// tokens are issued through the old one's account. Before the first it is that of the key to
	// log in with, and nil as long as nobody has asked for that.
	clientID atomic.Pointer[string]
}

func (l *login) issue(
	ctx context.Context, who Identity, b budget, _ *token.Token,
) (issued, error) {
	var t *token.Token
	var err error
	if who.isUser() {
		t, err = l.logInUser(ctx, who, b)
	} else {
		t, err = l.logIn(ctx, who, b)
	}
	if err != nil {
		return issued{}, err
	}
	return issued{token: t}, l.prepare(ctx, who, b.turn, t)
}

// logIn logs the service account in. The key is asked for before each try.
func (l *login) logIn(ctx context.Context, who Identity, b budget) (*token.Token, error) {
	return l.logins.try(ctx, who, b, func() (*token.Token, error) {
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
		t, err := l.logins.call(ctx, opLogin, who, b.turn, ask)
		if late, ok := errors.AsType[*unanswered](err); ok && !hasKey.Load() {
			return nil, noKey(late) // Looker was not asked
		}
		return t, err
	})
}

// logInUser logs a user in, authorized by the service account, whose token it has replaced if
// Looker rejects it.
func (l *login) logInUser(ctx context.Context, who Identity, b budget) (*token.Token, error) {
	for n := 0; ; n++ {
		var service *token.Token // with which the last try was made
		t, err := l.logins.try(ctx, who, b, func() (_ *token.Token, err error) {
			if service, err = l.serviceAtTurn(ctx, who, b.turn); err != nil {
				return nil, err
			}
			return l.logins.call(ctx, opLoginUser, who, b.turn, l.asking(who, service))
		})
		if err == nil && n > 0 {
			l.acceptService(service)
		}
		if n == maxReplays || !isRejection(who, err) {
			return t, err
		}
		replace := func(ctx context.Context) (*token.Token, error) {
			return l.replaceService(ctx, service)
		}
		replacement, replaceErr := l.inTime(ctx, b.turn, replace)
		if replaceErr != nil {
			return nil, replaceErr
		}
		if replacement == service {
			return nil, err
		}
	}
}

// asking asks for a user's token with this one of the service account's.
func (l *login) asking(
	who Identity, service *token.Token,
) func(context.Context) (*token.Token, error) {
	return func(ctx context.Context) (*token.Token, error) {
		r, err := l.client.LoginUser(ctx, service, who.userID())
		if err != nil {
			return nil, err
		}
		return token.New(who.key, r), nil
	}
}

// serviceAtTurn takes the turn, and returns the service account's token that there is then: one
// from before may have been replaced meanwhile. Nobody has a slot while waiting for it. One that is
// hardly issued when it ends is used nevertheless, for Looker to say so.
func (l *login) serviceAtTurn(
	ctx context.Context, who Identity, turn *queue.Turn,
) (service *token.Token, err error) {
	for n := 0; ; n++ {
		if l.held() == nil {
			turn.Return()
			if service, err = l.inTime(ctx, turn, l.service); err != nil {
				return nil, err
			}
		}
		if err := l.logins.take(ctx, opLoginUser, who, turn); err != nil {
			return nil, err
		}
		if held := l.held(); held != nil || n >= maxReplays && service != nil {
			return cmp.Or(held, service), nil
		}
	}
}

// take takes the turn of a login, a user's once there is a token of the service account's.
func (l *login) take(ctx context.Context, who Identity, turn *queue.Turn) error {
	if who.isUser() {
		_, err := l.serviceAtTurn(ctx, who, turn)
		return err
	}
	return l.logins.take(ctx, opLogin, who, turn)
}

// inTime waits for the service account, once the turn has begun no longer than that takes.
func (l *login) inTime(
	ctx context.Context, turn *queue.Turn, wait func(context.Context) (*token.Token, error),
) (service *token.Token, err error) {
	if turn.Begun() {
		late := &CallError{Op: opLogin, Identity: ServiceAccount(), Err: tooLate(l.timeout)}
		ignore := func(*token.Token, error) {}
		service, err = guard.Bounded(ctx, l.background, l.clock, turn.Left(), late, wait, ignore)
	} else {
		service, err = wait(ctx)
	}
	if err != nil {
		return nil, serviceError(ctx, err)
	}
	return service, nil
}

// prepare runs AfterLogin in a goroutine of its own: not even a panic in it may lose the token.
func (l *login) prepare(ctx context.Context, who Identity, turn *queue.Turn, t *token.Token) error {
	if l.afterLogin == nil {
		return nil
	}
	run := func(ctx context.Context) (none struct{}, _ error) {
		login := Login{who, who.userID(), l.sender.clientWith(t.Header)}
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
	return &CallError{Op: loginOp(who), Identity: who, Err: err}
}

// discard logs a token out that came when nobody waited for it any more.
func (l *login) discard(ctx context.Context, t *token.Token) {
	who := Identity{t.Key()}
	l.events.discarded(ctx, who)
	l.background.Run(func() error { return l.logOut(context.WithoutCancel(ctx), who, t) })
}

// revoke logs the tokens out at Looker, the newest first, as many at once as the queue lets.
func (l *login) revoke(
	ctx context.Context, who Identity, tokens []*token.Token, _ bool,
) error {
	errs := make([]error, len(tokens))
	var all sync.WaitGroup
	for i, t := range slices.Backward(tokens) {
		all.Go(func() { errs[i] = l.logOut(ctx, who, t) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (l *login) release(ctx context.Context, who Identity, tokens []*token.Token) error {
	return l.revoke(ctx, who, tokens, false)
}

func (l *login) unshare(context.Context, Identity, []*token.Token) error { return nil }

func (l *login) logOut(ctx context.Context, who Identity, t *token.Token) error {
	b := budget{l.logouts.queue.Turn(queue.Waited, 0), func() bool { return true }}
	ask := func(ctx context.Context) (*token.Token, error) {
		return nil, l.client.Logout(ctx, t)
	}
	_, err := l.logouts.try(ctx, who, b, func() (*token.Token, error) {
		return l.logouts.call(ctx, opLogout, who, b.turn, ask)
	})
	if err != nil {
		failed, _ := errors.AsType[*CallError](asCallError(err, opLogout, who))
		l.events.logoutFailed(ctx, failed, wallTime(l.clock))
		return failed
	}
	l.events.loggedOut(ctx, who)
	return nil
}
