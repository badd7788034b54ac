package lookerauth

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/queue"
	"github.com/lookerauth/lookerauth/internal/token"
)

// users gets users' tokens: from login_user, as the service account, or from Config.UserToken. A
// credential is looked up before, each time.
type users struct {
	client     *looker.Client
	calls      *calls
	background *guard.Background
	clock      Clock
	timeout    time.Duration // of a login
	elsewhere  *elsewhere    // where users' tokens come from; nil if that is login_user

	// endLate ends a token that comes when nobody waits for it any more.
	endLate func(ctx context.Context) func(*token.Token, error)

	// held returns the service account's token, nil if it has to be waited for; service waits for
	// it, and replaceService for the one to use instead of one that Looker rejected: that itself,
	// if it is not to blame. acceptService says that Looker took the replacement.
	held           func() *token.Token
	service        func(ctx context.Context) (*token.Token, error)
	replaceService func(ctx context.Context, rejected *token.Token) (*token.Token, error)
	acceptService  func(replacement *token.Token)
}

// op is the call that gets a user's token.
func (u *users) op() string {
	if u.elsewhere != nil {
		return opUserToken
	}
	return opLoginUser
}

// needService reports whether this user's token takes the service account's.
func (u *users) needService(who Identity) bool { return u.elsewhere == nil || who.byCredential() }

// logIn gets a user's token, and returns Looker's own id of the user, too. last is the token that
// the new one is to replace; nil if there is none.
func (u *users) logIn(
	ctx context.Context, who Identity, b budget, last *token.Token,
) (t *token.Token, id string, err error) {
	if !who.byCredential() {
		t, err = u.logInAs(ctx, who, who.name(), b, last)
		return t, who.name(), err
	}
	if id, err = u.lookUp(ctx, who, b); err != nil {
		return nil, "", err
	}
	t, err = u.logInAs(ctx, who, id, b, last)
	if failed := ownFailure(who, err); failed == nil || failed.Op != opLoginUser ||
		!errors.Is(err, ErrUserNotFound) {
		return t, id, err
	}
	now, lookUpErr := u.lookUp(ctx, who, b) // an embed session may just have begun
	if lookUpErr != nil || now == id {
		return nil, "", cmp.Or(lookUpErr, err)
	}
	t, err = u.logInAs(ctx, who, now, b, last)
	return t, now, err
}

// logInAs gets the token of the user with this id.
func (u *users) logInAs(
	ctx context.Context, who Identity, id string, b budget, last *token.Token,
) (*token.Token, error) {
	if u.elsewhere != nil {
		return u.elsewhere.get(ctx, who, id, b.turn, last)
	}
	ask := func(ctx context.Context, service *token.Token) (*token.Token, error) {
		r, err := u.client.LoginUser(ctx, service, id)
		if err != nil {
			return nil, err
		}
		return token.New(who.key, r), nil
	}
	return asService(ctx, u, opLoginUser, who, b, ask, u.endLate(ctx))
}

// lookUp asks for the id of the user who has the credential now.
func (u *users) lookUp(ctx context.Context, who Identity, b budget) (id string, err error) {
	typ, credential := who.credential()
	ask := func(ctx context.Context, service *token.Token) (string, error) {
		id, err := u.client.LookUp(ctx, service, string(typ), credential)
		if err == nil && !User(id).isValid() {
			err = &looker.Error{Status: http.StatusOK, NotLooker: true, Err: errOtherID}
		}
		return id, err
	}
	return asService(ctx, u, opLookUp, who, b, ask, func(string, error) {})
}

// errOtherID is why the answer to a look-up is not used.
var errOtherID = errors.New("the id in it can be no user's")

// asService makes a call as the service account, whose token it has replaced if Looker rejects it.
func asService[T any](
	ctx context.Context, u *users, op string, who Identity, b budget,
	ask func(ctx context.Context, service *token.Token) (T, error), late func(T, error),
) (T, error) {
	for n := 0; ; n++ {
		var service *token.Token // with which the last try was made
		answer, err := try(ctx, who, b, func() (answer T, err error) {
			if service, err = u.serviceAtTurn(ctx, op, who, b.turn); err != nil {
				return answer, err
			}
			with := service
			return makeCall(ctx, u.calls, op, who, b.turn,
				func(ctx context.Context) (T, error) { return ask(ctx, with) }, late)
		})
		if err == nil && n > 0 {
			u.acceptService(service)
		}
		if n == maxReplays || !isRejection(who, err) {
			return answer, err
		}
		replace := func(ctx context.Context) (*token.Token, error) {
			return u.replaceService(ctx, service)
		}
		replacement, replaceErr := u.inTime(ctx, b.turn, replace)
		if replaceErr != nil {
			return answer, replaceErr
		}
		if replacement == service {
			return answer, err
		}
	}
}

// serviceAtTurn takes the turn, and returns the service account's token that there is then: one
// from before may have been replaced meanwhile. Nobody has a slot while waiting for it. One that is
// hardly issued when it ends is used nevertheless, for Looker to say so.
func (u *users) serviceAtTurn(
	ctx context.Context, op string, who Identity, turn *queue.Turn,
) (service *token.Token, err error) {
	for n := 0; ; n++ {
		if u.held() == nil {
			turn.Return()
			if service, err = u.inTime(ctx, turn, u.service); err != nil {
				return nil, err
			}
		}
		if err := u.calls.take(ctx, op, who, turn); err != nil {
			return nil, err
		}
		if held := u.held(); held != nil || n >= maxReplays && service != nil {
			return cmp.Or(held, service), nil
		}
	}
}

// take takes the turn, if need be once there is a token of the service account's.
func (u *users) take(ctx context.Context, who Identity, turn *queue.Turn) error {
	if !u.needService(who) {
		return u.calls.take(ctx, u.op(), who, turn)
	}
	_, err := u.serviceAtTurn(ctx, u.op(), who, turn)
	return err
}

// inTime waits for the service account, once the turn has begun no longer than that takes.
func (u *users) inTime(
	ctx context.Context, turn *queue.Turn, wait func(context.Context) (*token.Token, error),
) (service *token.Token, err error) {
	if turn.Begun() {
		late := &CallError{Op: opLogin, Identity: ServiceAccount(), Err: tooLate(u.timeout)}
		ignore := func(*token.Token, error) {}
		service, err = guard.Bounded(ctx, u.background, u.clock, turn.Left(), late, wait, ignore)
	} else {
		service, err = wait(ctx)
	}
	if err != nil {
		return nil, serviceError(ctx, err)
	}
	return service, nil
}
