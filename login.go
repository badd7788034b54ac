package lookerauth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

// budget is how long and how often to try.
type budget struct {
	turn  *queue.Turn // ends with the time there is
	tries int
}

const (
	maxTries     = 3                      // calls for one login; a background refresh has one
	maxReplays   = 2                      // of what was answered 401, with another token
	firstBackoff = 100 * time.Millisecond // before the second try; doubled each time, and jittered
)

// login is the issuer that asks Looker.
type login struct {
	client     *looker.Client
	apiVersion string
	apiKey     func(ctx context.Context) (APIKey, error)
	afterLogin func(ctx context.Context, login Login) error // may be nil
	sender     *sender                                      // for AfterLogin
	background *guard.Background
	logins     *queue.Queue
	logouts    *queue.Queue // apart, so that logouts cannot hold up logins
	clock      Clock
	timeout    time.Duration // of a logout
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
	respond := l.logInUser
	if !who.isUser() {
		respond = l.logIn
	}
	r, err := respond(ctx, who, b)
	if err != nil {
		return issued{}, err
	}
	t := token.New(who.key, r)
	return issued{token: t}, l.prepare(ctx, who, t)
}

// logIn logs the service account in. The key is asked for before each try.
func (l *login) logIn(ctx context.Context, who Identity, b budget) (r token.Response, err error) {
	err = l.try(ctx, who, b, func() error {
		key, err := l.apiKey(ctx)
		if err != nil {
			return noKey(err)
		}
		err = l.call(ctx, opLogin, who, b.turn, func() error {
			r, err = l.client.Login(ctx, key.ClientID, key.ClientSecret)
			return err
		})
		if err == nil {
			l.clientID.Store(&key.ClientID)
		}
		return err
	})
	return r, err
}

// logInUser logs a user in, authorized by the service account, whose token it has replaced if
// Looker rejects it.
func (l *login) logInUser(
	ctx context.Context, who Identity, b budget,
) (r token.Response, err error) {
	service := l.held()
	if service == nil {
		b.turn.GiveUp() // the service account's login may need it
		if service, err = l.service(ctx); err != nil {
			return r, serviceError(ctx, err)
		}
	}
	for n := 0; ; n++ {
		err = l.try(ctx, who, b, func() error {
			return l.call(ctx, opLoginUser, who, b.turn, func() error {
				r, err = l.client.LoginUser(ctx, service, who.userID())
				return err
			})
		})
		if err == nil && n > 0 {
			l.acceptService(service)
		}
		if n == maxReplays || !isRejection(err) {
			return r, err
		}
		replacement, replaceErr := l.replaceService(ctx, service)
		if replaceErr != nil {
			return r, serviceError(ctx, replaceErr)
		}
		if replacement == service {
			return r, err
		}
		service = replacement
	}
}

// prepare runs AfterLogin in a goroutine of its own: not even a panic in it may lose the token.
func (l *login) prepare(ctx context.Context, who Identity, t *token.Token) error {
	if l.afterLogin == nil {
		return nil
	}
	ctx = looker.WithoutTrace(ctx)
	err := <-guard.Run(func() error {
		return l.afterLogin(ctx, Login{who, who.userID(), l.sender.clientWith(t.Header())})
	})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx) // why it was cut short
	}
	// The error may quote the token.
	err = fmt.Errorf("AfterLogin: %w", looker.Scrub(err, t.OAuth().AccessToken))
	return &CallError{Op: loginOp(who), Identity: who, Err: err}
}

// try runs f until it succeeds, fails for good, or the budget is spent.
func (l *login) try(ctx context.Context, who Identity, b budget, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		var failed *CallError
		if !errors.As(err, &failed) || !failed.temporary() {
			return err
		}
		backoff := firstBackoff << (n - 1)
		backoff += rand.N(backoff)
		if n >= b.tries || !b.turn.Sleep(ctx, max(backoff, failed.RetryAfter)) {
			return err
		}
	}
}

// call makes one call of Looker's at its turn.
func (l *login) call(
	ctx context.Context, op string, who Identity, turn *queue.Turn, f func() error,
) error {
	if err := turn.Take(ctx); err != nil {
		return noTurn(op, who, err)
	}
	defer turn.GiveUp()
	err := f()
	if failed, ok := errors.AsType[*looker.Error](err); ok {
		err := meaning(op, who, l.apiVersion, failed)
		if op != opLogout && err.temporary() { // the turn is still held, so that no other follows
			l.logins.Pause(err.RetryAfter)
		}
		return err
	}
	return err
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
func (l *login) logOut(ctx context.Context, who Identity, t *token.Token) error {
	b := budget{l.logouts.Turn(queue.Waited, 0), maxTries}
	tries := func(ctx context.Context) (none struct{}, _ error) {
		return none, l.try(ctx, who, b, func() error {
			return l.call(ctx, opLogout, who, b.turn, func() error {
				return l.client.Logout(ctx, t)
			})
		})
	}
	tooLate, late := tooLate(l.timeout), func(struct{}, error) {}
	_, err := guard.Bounded(ctx, l.background, l.clock, l.timeout, tooLate, tries, late)
	if err != nil {
		err = asCallError(err, opLogout, who)
		l.events.logoutFailed(ctx, who, err)
		return err
	}
	l.events.loggedOut(ctx, who)
	return nil
}
