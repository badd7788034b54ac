package lookerauth

import (
	"context"
	"strings"
	"unicode"

	"github.com/lookerauth/lookerauth/internal/token"
)

// identity is whom a request acts as. It is comparable. The zero identity is nobody.
type identity struct{ key token.Key }

func serviceAccount() identity { return identity{token.Key{Kind: token.ServiceAccount}} }

func user(id string) identity { return identity{token.Key{ID: id, Kind: token.User}} }

// userID is Looker's id of the user; "" for the service account.
func (i identity) userID() string { return i.key.ID }

func (i identity) isUser() bool { return i.key.Kind == token.User }

const maxUserID = 255 // bytes

// isValid reports whether there can be such an identity: its id can be sent as one segment of a
// path, and names no other endpoint.
func (i identity) isValid() bool {
	id := i.key.ID
	switch {
	case !i.isUser():
		return i != identity{}
	case id == "", id == ".", id == "..", len(id) > maxUserID:
		return false
	}
	return !strings.ContainsFunc(id, unicode.IsControl)
}

// identityKey is the context key of an identity.
type identityKey struct{}

// WithUser returns a context whose requests through [Cache.Transport] act as this user. It replaces
// an identity that ctx has.
func WithUser(ctx context.Context, userID string) context.Context {
	return context.WithValue(ctx, identityKey{}, user(userID))
}

// WithServiceAccount returns a context whose requests through [Cache.Transport] act as the service
// account itself. It replaces an identity that ctx has.
func WithServiceAccount(ctx context.Context) context.Context {
	return context.WithValue(ctx, identityKey{}, serviceAccount())
}

// fromContext returns the identity that ctx names; nobody if it names none.
func fromContext(ctx context.Context) identity {
	who, _ := ctx.Value(identityKey{}).(identity)
	return who
}
