package lookerauth_test

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// userKind is a way to ask for a user, and to get the token.
type userKind struct {
	name        string
	who         func(userID string) lookerauth.Identity
	isElsewhere bool // the token comes from UserToken
}

var userKinds = []userKind{
	{name: "id", who: lookerauth.User},
	{name: "credential", who: byEmbedID},
	{name: "UserToken", who: lookerauth.User, isElsewhere: true},
}

// byEmbedID is the user whose id at the embedding product is Looker's own.
func byEmbedID(userID string) lookerauth.Identity {
	return lookerauth.UserByCredential(lookerauth.CredentialEmbed, userID)
}

// setUsers says which users exist, and that they can be looked up.
func (userKind) setUsers(looker *lookertest.Server, ids ...string) {
	var users []lookertest.User
	for _, id := range ids {
		embed := map[lookerauth.CredentialType]string{lookerauth.CredentialEmbed: id}
		users = append(users, lookertest.User{ID: id, Credentials: embed})
	}
	looker.SetUsers(users...)
}

// option makes the Cache one for users of this kind.
func (k userKind) option(looker *lookertest.Server) option {
	if !k.isElsewhere {
		return func(*lookerauth.Config) {}
	}
	return withUserToken(func(
		_ context.Context, req lookerauth.UserTokenRequest,
	) (*oauth2.Token, error) {
		return mint(looker, req.UserID)
	})
}
