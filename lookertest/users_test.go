package lookertest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// people are users of a Server, who are not in the order of their ids.
func people() []lookertest.User {
	return []lookertest.User{
		{ID: "10", FirstName: "Danzig", LastName: "Lee", Email: "danzig@looker.example"},
		{
			ID: "9", FirstName: "Danger", LastName: "Lee",
			Credentials: map[lookerauth.CredentialType]string{
				lookerauth.CredentialEmbed: "customer/42",
				lookerauth.CredentialEmail: "danger@looker.example",
				lookerauth.CredentialSAML:  "danger-saml",
			},
		},
		{ID: "789", FirstName: "David", LastName: "Lee_2"},
	}
}

// list returns the ids of the users that the call answers, with a space between.
func (c caller) list(path string) string {
	c.t.Helper()
	resp := c.get(path, c.login())
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	var users []struct {
		ID any
	}
	if err := json.Unmarshal(text, &users); err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: answered %s %s", path, resp.Status, text)
	}
	var ids []string
	for _, user := range users {
		ids = append(ids, fmt.Sprint(user.ID))
	}
	return strings.Join(ids, " ")
}

func TestUsersAreAnsweredAsLookerDoes(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.SetUsers(people()...)
		nothing := map[string]any{
			"is_disabled": false, "group_ids": []any{}, "role_ids": []any{}, "email": nil,
			"credentials_api3": []any{}, "credentials_embed": []any{}, "credentials_email": nil,
			"credentials_saml": nil, "credentials_oidc": nil, "credentials_ldap": nil,
			"credentials_google": nil, "credentials_looker_openid": nil,
		}
		type object = map[string]any
		danger := object{
			"id": "9", "first_name": "Danger", "last_name": "Lee", "display_name": "Danger Lee",
			"email": "danger@looker.example",
			"credentials_embed": []any{object{
				"external_user_id": "customer/42", "type": "embed", "is_disabled": false,
			}},
			"credentials_email": object{
				"email": "danger@looker.example", "type": "email", "is_disabled": false,
			},
			"credentials_saml": object{
				"saml_user_id": "danger-saml", "email": "danger@looker.example",
				"type": "saml", "is_disabled": false,
			},
		}
		david := object{
			"id": "789", "first_name": "David", "last_name": "Lee_2", "display_name": "David Lee_2",
		}
		for _, test := range []struct {
			path, caller string
			want         map[string]any
		}{
			{"/user", "9", danger},
			{"/users/9", "789", danger},
			{"/users/credential/saml/danger-saml", "789", danger},
			{"/user", "789", david},
		} {
			for name, value := range nothing {
				if _, ok := test.want[name]; !ok {
					test.want[name] = value
				}
			}
			got := c.want(200, http.MethodGet, test.path, c.loginUser(test.caller))
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("%s: got %v, want %v", test.path, got, test.want)
			}
		}
	})
}

func TestUserWhoIsUnknownIsNotFound(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		admin := c.login()
		c.want(200, http.MethodGet, "/users/790", admin) // every id exists
		c.want(404, http.MethodGet, "/users/credential/embed/customer%2F42", admin)
		c.looker.SetUsers(people()...)
		c.want(404, http.MethodGet, "/users/790", admin)
		for path, want := range map[string]int{
			"/embed/customer%2F42":         200,
			"/embed/customer":              404,
			"/embed/":                      200, // of another call
			"/saml/customer%2F42":          404,
			"/email/danger@looker.example": 200,
			"/email/danzig@looker.example": 404, // an address that is no credentials
			"/oidc/danger-saml":            404,
			"/unknown/danger-saml":         404,
		} {
			c.want(want, http.MethodGet, "/users/credential"+path, admin)
		}
		c.looker.SetUsers(lookertest.User{
			ID:          lookertest.ServiceAccountID, // the first one
			Credentials: people()[1].Credentials,
		})
		c.want(200, http.MethodGet, "/users/credential/saml/danger-saml", admin)
		c.looker.SetUsers()
		c.want(404, http.MethodGet, "/users/9", admin)
		c.want(404, http.MethodGet, "/users/credential/embed/customer%2F42", admin)
	})
}

func TestUsersNeedAToken(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		for _, path := range []string{
			"/user", "/users", "/users/1", "/users/search?id=1", "/users/credential/embed/1",
		} {
			c.want(401, http.MethodGet, path, "")
		}
	})
}

func TestLookUpIsACallOfWhoMakesIt(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.call(http.MethodGet, "/users/credential/embed/customer%2F42?fields=id", c.login(), "")
		got := c.last()
		if got.Op != lookertest.OpAPI || got.UserID != lookertest.ServiceAccountID ||
			got.Path != "/users/credential/embed/customer/42" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestServiceAccountExistsAndHasAName(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		check := func(want string) {
			t.Helper()
			for _, path := range []string{"/user", "/users/1"} {
				got := c.want(200, http.MethodGet, path, c.login())
				if got["id"] != "1" || got["display_name"] != want {
					t.Errorf("%s: %v, want %s", path, got, want)
				}
			}
		}
		check("Service account")
		if got := c.list("/users"); got != "1" {
			t.Errorf("listed: %s", got)
		}
		c.looker.SetUsers()
		check("Service account")
		if got := c.list("/users"); got != "1" {
			t.Errorf("listed: %s", got)
		}
		c.looker.SetUsers(lookertest.User{ID: "1", FirstName: "Robot"})
		check("Robot")
	})
}

func TestUserWithoutANameHasOne(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		check := func(first, last, display any) {
			t.Helper()
			got := c.want(200, http.MethodGet, "/user", c.loginUser("789"))
			if got["first_name"] != first || got["last_name"] != last ||
				got["display_name"] != display {
				t.Errorf("got %v, want %v %v", got, first, last)
			}
		}
		check("User", "789", "User 789")
		c.looker.SetUsers(lookertest.User{ID: "789"})
		check("User", "789", "User 789")
		c.looker.SetUsers(lookertest.User{ID: "789", LastName: "Lee"})
		check(nil, "Lee", "Lee")
	})
}

func TestUsersAreListedByTheirIDs(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.SetUsers(people()...)
		for query, want := range map[string]string{
			"":                  "1 9 10 789",
			"limit=2":           "1 9",
			"limit=2&offset=2":  "10 789",
			"offset=3":          "789",
			"limit=2&offset=4":  "",
			"per_page=3&page=2": "789",
			"page=0&per_page=1": "1",
			"page=9223372036854775807&per_page=9223372036854775807": "",
			"page=9223372036854775807&per_page=2":                   "",
			"page=2&per_page=9":                                     "",
			"limit=-1&offset=none":                                  "1 9 10 789",
			"ids=10,789,11":                                         "10 789",
			"sorts=id&fields=id":                                    "1 9 10 789",
		} {
			if got := c.list("/users?" + query); got != want {
				t.Errorf("%s: got %s, want %s", query, got, want)
			}
		}
		c.api = "/api/3.1"
		if got := c.list("/users"); got != "1 9 10 789" {
			t.Errorf("3.1: got %s", got)
		}
	})
}

func TestSearchFindsWhomAllCriteriaMatch(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.SetUsers(people()...)
		for _, test := range []struct {
			criteria map[string]string
			want     string
		}{
			{nil, "1 9 10 789"},
			{map[string]string{"first_name": "danger"}, "9"},
			{map[string]string{"first_name": "dan"}, ""}, // the whole value
			{map[string]string{"first_name": "DAN%"}, "9 10"},
			{map[string]string{"last_name": "lee"}, "9 10"},
			{map[string]string{"last_name": "Lee%", "first_name": "%V%"}, "789"},
			{map[string]string{"last_name": "Lee", "first_name": "David"}, ""},
			{map[string]string{"last_name": "lee_2"}, "789"},
			{map[string]string{"last_name": "l__"}, "9 10"},
			{map[string]string{"last_name": "l.e"}, ""}, // not a regular expression
			{map[string]string{"first_name": "\xff"}, ""},
			{map[string]string{"id": "10"}, "10"},
			{map[string]string{"email": "%@looker.example"}, "9 10"},
			{map[string]string{"email": "danger%"}, "9"},
			{map[string]string{"email": "%"}, "9 10"}, // others have none
			{map[string]string{"full_name": "danzig lee"}, "10"},
			{map[string]string{"embed_user": "true"}, "9"},
			{map[string]string{"is_disabled": "false"}, "1 9 10 789"},
			{map[string]string{"unknown": "%"}, ""},
			{map[string]string{"last_name": "lee", "limit": "1", "offset": "1"}, "10"},
			{map[string]string{"last_name": "lee", "fields": "id", "sorts": "id"}, "9 10"},
		} {
			query := url.Values{}
			for name, value := range test.criteria {
				query.Set(name, value)
			}
			if got := c.list("/users/search?" + query.Encode()); got != test.want {
				t.Errorf("%v: got %q, want %q", test.criteria, got, test.want)
			}
		}
	})
}

func TestAnswerHasTheFieldsThatAreAskedFor(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.SetUsers(people()...)
		for fields, want := range map[string]int{
			"id":              1,
			"id,display_name": 2,
			"id, unknown":     1,
			"unknown":         0,
			"":                16,
			"credentials_embed(external_user_id,id),email": 2,
		} {
			for _, path := range []string{
				"/user", "/users/9", "/users/credential/saml/danger-saml",
			} {
				path += "?fields=" + url.QueryEscape(fields)
				if got := c.want(200, http.MethodGet, path, c.loginUser("9")); len(got) != want {
					t.Errorf("%s: got %v", path, got)
				}
			}
		}
	})
}

func TestUsersBelongToTheServer(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		users := people()
		c.looker.SetUsers(users...)
		users[1].Credentials[lookerauth.CredentialEmbed] = "changed"
		c.want(200, http.MethodGet, "/users/credential/embed/customer%2F42", c.login())
	})
}

// The race detector looks.
func TestServerIsChangedWhileItAnswers(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.SetUsers(people()...)
		token := c.loginUser("9")
		var calls sync.WaitGroup
		for i := range 20 {
			calls.Go(func() { c.looker.SetUsers(people()...) })
			calls.Go(func() {
				c.looker.HandleFunc(fmt.Sprintf("GET /looks/%d", i), says("look"))
				c.want(200, http.MethodGet, fmt.Sprintf("/looks/%d", i), token)
			})
			calls.Go(func() { c.want(200, http.MethodGet, "/user", token) })
			calls.Go(func() { c.list("/users/search?last_name=lee") })
		}
		calls.Wait()
	})
}
