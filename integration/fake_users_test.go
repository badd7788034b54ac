package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/looker-open-source/sdk-codegen/go/rtl"
	v4 "github.com/looker-open-source/sdk-codegen/go/sdk/v4"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// These tests are of the fake: the official SDK decodes what it answers.

// sdkOfUsers returns the official SDK with a session of one identity, and a fake Looker with users.
func sdkOfUsers(t *testing.T, who lookerauth.Identity) (*v4.LookerSDK, *lookertest.Server) {
	t.Helper()
	fake := startFake(t, nil)
	fake.SetUsers(
		lookertest.User{
			ID: "789", FirstName: "Ann", LastName: "Lee", Email: "ann@looker.example",
			Credentials: map[lookerauth.CredentialType]string{
				lookerauth.CredentialEmbed:  "customer-42",
				lookerauth.CredentialEmail:  "ann@looker.example",
				lookerauth.CredentialSAML:   "ann-saml",
				lookerauth.CredentialOIDC:   "ann-oidc",
				lookerauth.CredentialLDAP:   "ann-ldap",
				lookerauth.CredentialGoogle: "ann-google",
				"looker_openid":             "ann@openid.example",
				"api3":                      "ann-client-id",
			},
		},
		lookertest.User{ID: "790", FirstName: "Bob", LastName: "Lee"},
	)
	return sdkOf(fake, newCache(t, fake.Config()).As(who)), fake
}

// ids are those of the users; an error if there is one.
func ids(users []v4.User, err error) string {
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, user := range users {
		all = append(all, *user.Id)
	}
	return strings.Join(all, " ")
}

// checkAnn fails the test if this is not all of user 789.
func checkAnn(t *testing.T, user v4.User, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	got := []string{
		*user.Id, *user.FirstName, *user.LastName, *user.DisplayName, *user.Email,
		*(*user.CredentialsEmbed)[0].ExternalUserId, *user.CredentialsEmail.Email,
		*user.CredentialsSaml.SamlUserId, *user.CredentialsOidc.OidcUserId,
		*user.CredentialsLdap.LdapId, *user.CredentialsGoogle.GoogleUserId,
		*user.CredentialsLookerOpenid.Email, *(*user.CredentialsApi3)[0].ClientId,
	}
	want := []string{
		"789", "Ann", "Lee", "Ann Lee", "ann@looker.example",
		"customer-42", "ann@looker.example",
		"ann-saml", "ann-oidc",
		"ann-ldap", "ann-google",
		"ann@openid.example", "ann-client-id",
	}
	if !slices.Equal(got, want) || *user.IsDisabled {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSDKDecodesTheFakesMe(t *testing.T) {
	looker, _ := sdkOfUsers(t, lookerauth.User("789"))
	me, err := looker.Me("", nil)
	checkAnn(t, me, err)
}

func TestSDKDecodesTheFakesAllUsers(t *testing.T) {
	looker, _ := sdkOfUsers(t, lookerauth.ServiceAccount())
	users, err := looker.AllUsers(v4.RequestAllUsers{}, nil)
	if got := ids(users, err); got != "1 789 790" {
		t.Fatalf("got %s", got)
	}
	checkAnn(t, users[1], err)
	bob := users[2]
	if bob.Email != nil || bob.CredentialsSaml != nil || len(*bob.CredentialsEmbed) != 0 {
		t.Errorf("user 790 has %+v", bob)
	}
	limit, offset := int64(1), int64(2)
	page := v4.RequestAllUsers{Limit: &limit, Offset: &offset}
	if got := ids(looker.AllUsers(page, nil)); got != "790" {
		t.Errorf("the last page has %s", got)
	}
	some := v4.RequestAllUsers{Ids: &rtl.DelimString{"1", "790"}}
	if got := ids(looker.AllUsers(some, nil)); got != "1 790" {
		t.Errorf("users 1 and 790 are %s", got)
	}
}

func TestSDKDecodesTheFakesUser(t *testing.T) {
	looker, _ := sdkOfUsers(t, lookerauth.ServiceAccount())
	user, err := looker.User("789", "", nil)
	checkAnn(t, user, err)
	user, err = looker.User("789", "id,first_name", nil)
	if err != nil || *user.FirstName != "Ann" || user.LastName != nil {
		t.Errorf("got %+v, %v, want two fields", user, err)
	}
	if _, err = looker.User("791", "", nil); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("an unknown user: %v", err)
	}
}

func TestSDKDecodesTheFakesSearchUsers(t *testing.T) {
	looker, _ := sdkOfUsers(t, lookerauth.ServiceAccount())
	lee, ann, nobody, embed := "LEE", "a%", "n%", true
	for want, request := range map[string]v4.RequestSearchUsers{
		"789 790": {LastName: &lee},
		"789":     {LastName: &lee, FirstName: &ann},
		"":        {LastName: &nobody},
	} {
		if got := ids(looker.SearchUsers(request, nil)); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
	users, err := looker.SearchUsers(v4.RequestSearchUsers{EmbedUser: &embed}, nil)
	if got := ids(users, err); got != "789" {
		t.Fatalf("the embed users are %s", got)
	}
	checkAnn(t, users[0], err)
}

func TestSDKDecodesTheFakesUserForCredential(t *testing.T) {
	looker, _ := sdkOfUsers(t, lookerauth.ServiceAccount())
	for typ, id := range map[string]string{
		"embed": "customer-42", "email": "ann@looker.example", "saml": "ann-saml",
		"oidc": "ann-oidc", "ldap": "ann-ldap", "google": "ann-google",
	} {
		user, err := looker.UserForCredential(typ, id, "", nil)
		checkAnn(t, user, err)
	}
	_, err := looker.UserForCredential("embed", "customer-43", "", nil)
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("an unknown customer: %v", err)
	}
}

func TestSDKDecodesWhatAHandlerAnswers(t *testing.T) {
	looker, fake := sdkOfUsers(t, lookerauth.User("789"))
	fake.HandleFunc("GET /looks", func(w http.ResponseWriter, r *http.Request) {
		user := lookertest.UserOf(r)
		title := "Sales of " + user.FirstName
		lookertest.JSON(w, http.StatusOK, []v4.Look{{Title: &title, UserId: &user.ID}})
	})
	looks, err := looker.AllLooks("", nil)
	if err != nil || len(looks) != 1 {
		t.Fatalf("got %+v, %v", looks, err)
	}
	if *looks[0].Title != "Sales of Ann" || *looks[0].UserId != "789" {
		t.Errorf("got %+v", looks[0])
	}
}

func TestSDKDecodesTheFakesVersions(t *testing.T) {
	looker, _ := sdkOfUsers(t, lookerauth.ServiceAccount())
	versions, err := looker.Versions("", nil)
	if err != nil || *versions.CurrentVersion.Version != "4.0" {
		t.Errorf("got %+v, %v", versions, err)
	}
}
