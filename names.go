package lookerauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"
)

// names are those of the records in the Store.
type names struct {
	login   *login
	scope   string // keeps different Lookers, and kinds of token, apart
	clock   Clock
	timeout time.Duration // of a login
}

// of is where the identity's record is stored: a hash, which tells nothing to who cannot guess what
// it is the hash of.
func (n *names) of(ctx context.Context, who Identity) (string, error) {
	issuer, err := n.issuer(ctx, who)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "lookerauth %q %s %q", n.scope, issuer, who))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// issuer says where the identity's tokens come from: from Config.UserToken, or through the API key
// that is in use, which is asked for if none is known.
func (n *names) issuer(ctx context.Context, who Identity) (string, error) {
	if n.login.isElsewhere(who) {
		return opUserToken, nil
	}
	if known := n.login.clientID.Load(); known != nil {
		return strconv.Quote(*known), nil
	}
	key, err := n.login.apiKey(ctx)
	if err == nil {
		n.login.clientID.Store(&key.ClientID)
	}
	return strconv.Quote(key.ClientID), err
}

// inTime is of, bounded as a try of a login is: the user's APIKey may hang.
func (n *names) inTime(ctx context.Context, who Identity) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var name string
	done := n.login.background.Run(func() (err error) {
		name, err = n.of(ctx, who)
		return err
	})
	limit := n.timeout / tryShare
	select {
	case err := <-done:
		return name, err
	case <-n.clock.After(limit):
		late := &unanswered{limit, n.timeout}
		cancel(late)
		return "", late
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
