package lookerauth

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lookerauth/lookerauth/internal/token"
)

// Identity is whom a request acts as: the service account, or one user, who is known by Looker's id
// or by a credential. It is a comparable value, and may be the key of a map. The zero Identity is
// nobody: using it is [ErrNoIdentity].
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

// UserByCredential returns the [Identity] of the user who has this id as a credential of this type:
// of an embed user, say, the id that your own product knows the user by. Each login asks Looker
// whose it is by then, as the service account: the ids of embed users may change with every embed
// session. So this and [User] of the same user are two identities, with a token each.
//
// Any type and id make an Identity. Using one that nobody can have is [ErrInvalidIdentity].
func UserByCredential(typ CredentialType, id string) Identity {
	if !typ.isValid() { // quoted, it is none either, and makes no other Identity's name
		typ = CredentialType(strconv.Quote(string(typ)))
	}
	return Identity{token.Key{ID: string(typ) + ":" + id, Kind: token.Credential}}
}

// String returns "service_account", "user:" and the id, the type of a credential, a colon and its
// id, or "nobody". Two identities never have the same one.
func (i Identity) String() string { return i.key.String() }

// MarshalText returns what String does, for encoders and keys of JSON objects. Nothing reads it
// back: to store an Identity, store the id that you made it of. The error is always nil.
func (i Identity) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// LogValue makes log/slog write what String returns.
func (i Identity) LogValue() slog.Value { return slog.StringValue(i.String()) }

// name is a user's id, or type and id of a credential; "" for the service account.
func (i Identity) name() string { return i.key.ID }

// isUser reports whether i is a user, however known.
func (i Identity) isUser() bool { return i.key.Kind == token.User || i.byCredential() }

func (i Identity) byCredential() bool { return i.key.Kind == token.Credential }

// credential returns what a user by credential is known by.
func (i Identity) credential() (typ CredentialType, id string) {
	before, after, _ := strings.Cut(i.key.ID, ":")
	return CredentialType(before), after
}

const (
	maxID        = 255 // bytes
	typeLetter   = "abcdefghijklmnopqrstuvwxyz0123456789_"
	userIDLetter = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + typeLetter + "-.:@ "
	idNever      = `/\%;?#` // by which a gateway might be led elsewhere
)

// isValid reports whether somebody can be this: the id is one segment of a path, and stays the same
// one for a gateway that decodes it before it looks.
func (i Identity) isValid() bool {
	switch i.key.Kind {
	case token.User:
		return isSegment(i.key.ID) && strings.Trim(i.key.ID, userIDLetter) == ""
	case token.Credential:
		typ, id := i.credential()
		return typ.isValid() && isSegment(id) && utf8.ValidString(id) &&
			!strings.ContainsAny(id, idNever) && !strings.ContainsFunc(id, unicode.IsControl)
	}
	return i != Identity{}
}

// rule says what isValid wants.
func (i Identity) rule() string {
	if i.byCredential() {
		return "the type is of a to z, 0 to 9 and _, and not user or service_account; " +
			`the id has 1 to 255 bytes of UTF-8, none of / \ % ; ? # or control characters, ` +
			`no space at an end, and is not "." or ".."`
	}
	return "an id that Looker gave has 1 to 255 bytes, all of them ASCII letters, digits, " +
		`-, _, ., :, @ or spaces, no space at an end, and is not "." or ".."`
}

// isSegment is what all ids have in common.
func isSegment(id string) bool {
	return id != "" && id != "." && id != ".." && len(id) <= maxID && id == strings.TrimSpace(id)
}

// isValid reports whether Looker may know such a type, and no other identity has its name.
func (t CredentialType) isValid() bool {
	return t != "" && t != "user" && t != "service_account" &&
		strings.Trim(string(t), typeLetter) == ""
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
