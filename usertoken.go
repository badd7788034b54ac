package lookerauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/queue"
	"github.com/lookerauth/lookerauth/internal/token"
)

// UserTokenRequest says whose token [Config.UserToken] is to return. It is printed as a [Config]
// is.
type UserTokenRequest struct {
	Identity Identity // the one that was asked for
	UserID   string   // Looker's own id

	// Rejected is the access token that Looker rejected, or that was invalidated, if that is why:
	// it must not be returned again. Otherwise it is "".
	Rejected string
}

// Format writes whose token is asked for, without the rejected one, whatever the verb.
func (r UserTokenRequest) Format(f fmt.State, _ rune) { printWithout(f, r) }

// MarshalText returns whose token is asked for, without the rejected one. The error is always nil.
func (r UserTokenRequest) MarshalText() ([]byte, error) {
	const format = "lookerauth.UserTokenRequest{Identity: %v, UserID: %q, Rejected: %s}"
	return fmt.Appendf(nil, format, r.Identity, r.UserID, mask(r.Rejected)), nil
}

// MarshalBinary refuses to encode the request.
func (r UserTokenRequest) MarshalBinary() ([]byte, error) { return refuseBinary() }

// elsewhere is where users' tokens come from instead of login_user.
type elsewhere struct {
	userToken  func(ctx context.Context, req UserTokenRequest) (*oauth2.Token, error)
	client     *looker.Client // learns the tokens, and scrubs errors of them
	calls      *calls
	background *guard.Background
	clock      Clock
	timeout    time.Duration // of a login
}

// get gets a user's token, in one call. That has all of LoginTimeout, whatever a look-up before it
// took: cut short, it might lose a refresh token that it has just used up.
func (e *elsewhere) get(
	ctx context.Context, who Identity, id string, turn *queue.Turn, last *token.Token,
) (*token.Token, error) {
	if err := e.calls.take(ctx, opUserToken, who, turn); err != nil {
		return nil, err
	}
	defer turn.GiveUp()
	req := UserTokenRequest{Identity: who, UserID: id}
	if last != nil && last.Retired() {
		req.Rejected = last.OAuth().AccessToken
	}
	sent := wallTime(e.clock)
	ask := func(ctx context.Context) (token.Response, error) {
		answer, err := e.userToken(ctx, req)
		r := e.learn(answer, sent)
		switch {
		case err == nil:
			return r, check(answer, r, req.Rejected)
		case ctx.Err() != nil:
			err = context.Cause(ctx) // why it was cut short
		}
		return r, err
	}
	const format = "not done within LoginTimeout, %v: %w" // which is not Looker's doing
	tooLate := fmt.Errorf(format, e.timeout, context.DeadlineExceeded)
	late := func(token.Response, error) {} // it no longer counts
	r, err := guard.Bounded(ctx, e.background, e.clock, e.timeout, tooLate, ask, late)
	if err != nil {
		err = &userError{"UserToken", e.client.Scrub(err)}
		return nil, &CallError{Op: opUserToken, Identity: who, Err: err}
	}
	return token.New(who.key, r), nil
}

// learn lets no error show the tokens in an answer, be it one that comes with them. The life of a
// token starts when it was asked for, as nobody knows when it was issued.
func (e *elsewhere) learn(answer *oauth2.Token, sent time.Time) (r token.Response) {
	if answer == nil {
		return r
	}
	r = token.Response{
		AccessToken: answer.AccessToken,
		TokenType:   answer.Type(),
		Sent:        sent,
		Life:        life(answer, sent),
	}
	e.client.Learn(r)
	refresh := token.Response{AccessToken: answer.RefreshToken, Sent: sent, Life: looker.MaxLife}
	e.client.Learn(refresh) // which outlives the token, and may be in the error of the next call
	return r
}

// check trusts nothing, as with an answer of Looker's.
func check(answer *oauth2.Token, r token.Response, rejected string) error {
	switch {
	case answer == nil:
		return errors.New("it has returned neither a token nor an error")
	case !looker.IsAccessToken(r.AccessToken):
		return errors.New("the AccessToken that it has returned is missing or malformed")
	case r.AccessToken == rejected:
		return errors.New("it has returned the token that was rejected: " +
			"get another one if UserTokenRequest.Rejected names it")
	case answer.Expiry.IsZero() && answer.ExpiresIn == 0:
		return errors.New("the token that it has returned has neither Expiry nor ExpiresIn")
	case r.Life < looker.MinLife:
		return errors.New("the token that it has returned has less than a second left")
	}
	return nil
}

// life is how long a token that was asked for at sent lives from then on.
func life(answer *oauth2.Token, sent time.Time) time.Duration {
	if !answer.Expiry.IsZero() {
		return min(answer.Expiry.Sub(sent), looker.MaxLife)
	}
	const most = int64(looker.MaxLife / time.Second)
	return time.Duration(min(max(answer.ExpiresIn, 0), most)) * time.Second
}
