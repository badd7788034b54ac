package lookerauth

import (
	"context"
	"log/slog"
	"strings"

	"github.com/lookerauth/lookerauth/internal/token"
)

// Identity is whom a request acts as: the service account, or one user. It is a comparable value,
// and may be the key of a map. The zero Identity is nobody: using it is [ErrNoIdentity].
type Identity struct{ key token.Key }

// ServiceAccount returns the [Identity] of the API key itself.
func ServiceAccount() Identity { return Identity{token.Key{Kind: token.ServiceAccount}} }

// User returns the [Identity] of the user to whom Looker gave this id. Any id makes one. Using one
// that cannot be a user's is [ErrInvalidIdentity], which says what an id may have.
func User(id string) Identity { return Identity{token.Key{ID: id, Kind: token.User}} }

// CredentialType is what Looker calls a kind of credentials by which it knows a user. The constants
// are the common ones; Looker may know others, of a to z, 0 to 9 and _.
type CredentialType string

const (
	CredentialEmbed  CredentialType = "embed"  // the external_user_id of an embed user
	CredentialEmail  CredentialType = "email"  // the email address to log in with
	CredentialSAML   CredentialType = "saml"   // the saml_user_id
	CredentialOIDC   CredentialType = "oidc"   // the oidc_user_id
	CredentialLDAP   CredentialType = "ldap"   // the ldap_id
	CredentialGoogle CredentialType = "google" // the google_user_id
)

// String returns "service_account", "user:" and the id, or "nobody". Two identities never have the
// same one.
func (i Identity) String() string { return i.key.String() }

// MarshalText returns what String does, for encoders and keys of JSON objects. The error is always
// nil.
func (i Identity) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// LogValue makes log/slog write what String returns.
func (i Identity) LogValue() slog.Value { return slog.StringValue(i.String()) }

// userID is Looker's id of the user; "" for the service account.
func (i Identity) userID() string { return i.key.ID }

func (i Identity) isUser() bool { return i.key.Kind == token.User }

const (
	maxUserID    = 255 // bytes
	userIDLetter = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:@ "
)

// isValid reports whether somebody can be this: the id is one segment of a path, and stays the same
// one for a gateway that decodes it before it looks.
func (i Identity) isValid() bool {
	id := i.key.ID
	switch {
	case !i.isUser():
		return i != Identity{}
	case id == "", id == ".", id == "..", len(id) > maxUserID, id != strings.Trim(id, " "):
		return false
	}
	return strings.Trim(id, userIDLetter) == ""
}

// identityKey is the context key of an [Identity].
type identityKey struct{}

// WithIdentity returns a context whose requests through [Cache.Transport] act as who. It replaces
// an identity that ctx has; the zero Identity takes that away.
func WithIdentity(ctx context.Context, who Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, who)
}

// WithUser is [WithIdentity] of the [User] with this id.
func WithUser(ctx context.Context, id string) context.Context { return WithIdentity(ctx, User(id)) }

// WithServiceAccount is [WithIdentity] of the [ServiceAccount].
func WithServiceAccount(ctx context.Context) context.Context {
	return WithIdentity(ctx, ServiceAccount())
}

// FromContext returns the [Identity] that ctx names; nobody if it names none.
func FromContext(ctx context.Context) Identity {
	who, _ := ctx.Value(identityKey{}).(Identity)
	return who
}
