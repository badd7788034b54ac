package lookertest

import (
	"net/http"
	"slices"

	"github.com/lookerauth/lookerauth"
)

func (s *Server) userForCredential(w http.ResponseWriter, r *http.Request, _ session) {
	kind := lookerauth.CredentialType(r.PathValue("credential_type"))
	id := r.PathValue("credential_id")
	users := s.listUsers()
	i := slices.IndexFunc(users, func(user User) bool {
		found, ok := user.Credentials[kind]
		return ok && found == id
	})
	if i < 0 {
		refuse(w, r, http.StatusNotFound, "Not found")
		return
	}
	JSON(w, http.StatusOK, withFields(r, users[i]))
}

// credentialKinds are how a User of Looker's has its credentials.
var credentialKinds = []credentialKind{
	{lookerauth.CredentialEmail, "credentials_email", "email", false},
	{lookerauth.CredentialEmbed, "credentials_embed", "external_user_id", true},
	{lookerauth.CredentialSAML, "credentials_saml", "saml_user_id", false},
	{lookerauth.CredentialOIDC, "credentials_oidc", "oidc_user_id", false},
	{lookerauth.CredentialLDAP, "credentials_ldap", "ldap_id", false},
	{lookerauth.CredentialGoogle, "credentials_google", "google_user_id", false},
	{"looker_openid", "credentials_looker_openid", "email", false},
	{"api3", "credentials_api3", "client_id", true},
}

type credentialKind struct {
	kind        lookerauth.CredentialType
	field, idIn string
	list        bool
}

// of is the user's credentials of this kind.
func (k credentialKind) of(user User) any {
	id, ok := user.Credentials[k.kind]
	switch {
	case !ok && k.list:
		return []any{}
	case !ok:
		return nil
	}
	credentials := map[string]any{"type": k.kind, "is_disabled": false}
	if k.list {
		credentials[k.idIn] = id
		return []any{credentials}
	}
	credentials["email"] = orNull(user.Email)
	credentials[k.idIn] = id
	return credentials
}
