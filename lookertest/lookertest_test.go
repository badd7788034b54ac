package lookertest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent")) // Go's own, on js
}

// caller makes calls of a Server as they are on the wire, without the library.
type caller struct {
	t      *testing.T
	looker *lookertest.Server
	api    string // the version's path
}

// simulate runs test in simulated time.
func simulate(t *testing.T, test func(t *testing.T, c caller)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		versions := lookertest.WithAPIVersions("3.0", "3.1", "4.0")
		test(t, caller{t, lookertest.New(t, lookertest.InMemory(), versions), "/api/4.0"})
	})
}

// call returns the status and the fields of the answer; 0 if the connection was closed without one.
func (c caller) call(method, path, authorization, body string) (int, map[string]any) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.looker.URL+c.api+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	if path == "/login" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.looker.Transport().RoundTrip(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var fields map[string]any
	if len(text) > 0 && json.Unmarshal(text, &fields) != nil {
		c.t.Fatalf("%s %s: answered %d %s", method, path, resp.StatusCode, text)
	}
	return resp.StatusCode, fields
}

// login returns the service account's Authorization header.
func (c caller) login() string {
	c.t.Helper()
	cfg := c.looker.Config()
	form := url.Values{"client_id": {cfg.ClientID}, "client_secret": {cfg.ClientSecret}}
	return c.authorization(c.call(http.MethodPost, "/login", "", form.Encode()))
}

// loginUser returns a user's Authorization header.
func (c caller) loginUser(userID string) string {
	c.t.Helper()
	return c.authorization(c.call(http.MethodPost, "/login/"+url.PathEscape(userID), c.login(), ""))
}

func (c caller) authorization(status int, token map[string]any) string {
	c.t.Helper()
	if status != http.StatusOK {
		c.t.Fatalf("login answered %d: %v", status, token)
	}
	return "token " + token["access_token"].(string)
}

// want fails the test if the call is not answered with this status.
func (c caller) want(status int, method, path, authorization string) map[string]any {
	c.t.Helper()
	got, fields := c.call(method, path, authorization, "")
	if got != status {
		c.t.Errorf("%s %s: answered %d %v, want %d", method, path, got, fields, status)
	}
	if status >= 400 && (fields["message"] == nil || fields["documentation_url"] == nil) {
		c.t.Errorf("%s %s: %v is not one of Looker's errors", method, path, fields)
	}
	return fields
}

func TestTokenResponseIsLookers(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		for _, version := range []string{"3.0", "3.1", "4.0"} {
			c.api = "/api/" + version
			_, token := c.call(http.MethodPost, "/login/789", c.login(), "")
			_, hasRefreshToken := token["refresh_token"]
			text, _ := token["access_token"].(string)
			if len(text) != 40 || token["token_type"] != "Bearer" || token["expires_in"] != 3600.0 {
				t.Errorf("%s: %v", version, token)
			}
			if hasRefreshToken != (version == "4.0") {
				t.Errorf("%s: has a refresh_token: %v", version, hasRefreshToken)
			}
		}
	})
}

func TestUserIDIsANumberIn3xAndAStringIn40(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		for version, want := range map[string]any{"3.0": 789.0, "3.1": 789.0, "4.0": "789"} {
			c.api = "/api/" + version
			if got := c.want(200, http.MethodGet, "/user", c.loginUser("789"))["id"]; got != want {
				t.Errorf("%s: the id is %#v, want %#v", version, got, want)
			}
		}
	})
}

func TestWrongKeyIsAnsweredNotFound(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.SetKey("new", "key")
		for form, want := range map[string]int{
			"client_id=new&client_secret=key":   200,
			"client_id=new&client_secret=wrong": 404,
			"client_id=new":                     404,
			"":                                  404,
			"client_id=new&client_secret=%":     400,
		} {
			if got, _ := c.call(http.MethodPost, "/login", "", form); got != want {
				t.Errorf("%q: answered %d, want %d", form, got, want)
			}
		}
		inQuery := "/login?client_id=new&client_secret=key"
		if got, _ := c.call(http.MethodPost, inQuery, "", ""); got != 404 {
			t.Errorf("a key in the query: answered %d, want 404", got)
		}
	})
}

func TestOnlyAnAdminActsAsAUserWhoExists(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		admin, user := c.login(), c.loginUser("789")
		c.want(401, http.MethodPost, "/login/790", "")
		c.want(401, http.MethodPost, "/login/790", "token unknown")
		c.want(403, http.MethodPost, "/login/790", user)
		c.looker.SetUsers(lookertest.User{ID: "789"})
		c.want(404, http.MethodPost, "/login/790", admin)
		c.want(200, http.MethodPost, "/login/789", admin)
		c.looker.SetAdmin(false)
		c.want(403, http.MethodPost, "/login/789", admin)
	})
}

func TestTokenExpiresWhenItsLifeEnds(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.SetTokenLife(time.Minute)
		token := c.loginUser("789")
		time.Sleep(time.Minute - time.Nanosecond)
		c.want(200, http.MethodGet, "/user", token)
		if n := c.looker.Alive()["789"]; n != 1 {
			t.Errorf("%d tokens alive, want 1", n)
		}
		time.Sleep(time.Nanosecond)
		c.want(401, http.MethodGet, "/user", token)
		if alive := c.looker.Alive(); len(alive) != 0 {
			t.Errorf("alive: %v", alive)
		}
		if n := c.looker.Revoke("789"); n != 0 {
			t.Errorf("%d expired tokens revoked", n)
		}
	})
}

func TestEachLoginIssuesANewTokenAndLeavesTheOthers(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		first, second := c.loginUser("789"), c.loginUser("789")
		if first == second {
			t.Error("the same token twice")
		}
		c.want(200, http.MethodGet, "/user", first)
		c.want(204, http.MethodDelete, "/logout", first)
		c.want(401, http.MethodGet, "/user", first)
		c.want(401, http.MethodDelete, "/logout", first)
		c.want(200, http.MethodGet, "/user", second)
	})
}

func TestRevokeEndsOneIdentitysTokens(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		one, another, other := c.loginUser("789"), c.loginUser("789"), c.loginUser("790")
		if n := c.looker.Revoke("789"); n != 2 {
			t.Errorf("%d revoked, want 2", n)
		}
		c.want(401, http.MethodGet, "/user", one)
		c.want(401, http.MethodGet, "/user", another)
		c.want(200, http.MethodGet, "/user", other)
		if n := c.looker.RevokeAll(); n != 4 { // the other's, and three of the service account
			t.Errorf("%d revoked, want 4", n)
		}
		c.want(401, http.MethodGet, "/user", other)
	})
}

// The service account is a user as any other, but that it is always there.
func TestServiceAccountIsUserOne(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.SetUsers(lookertest.User{ID: "789"})
		one, other := c.login(), c.loginUser(lookertest.ServiceAccountID)
		for _, token := range []string{one, other} {
			if id := c.want(200, http.MethodGet, "/user", token)["id"]; id != "1" {
				t.Errorf("the id is %v", id)
			}
		}
		user := c.loginUser("789")
		if alive := c.looker.Alive(); alive["1"] != 4 || alive["789"] != 1 || len(alive) != 2 {
			t.Errorf("alive: %v", alive)
		}
		if n := c.looker.Revoke("1"); n != 4 { // each login_user took a login
			t.Errorf("%d revoked, want 4", n)
		}
		c.want(401, http.MethodGet, "/user", one)
		c.want(401, http.MethodGet, "/user", other)
		c.want(200, http.MethodGet, "/user", user)
	})
}

func TestHeaderIsTokenOrBearer(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		token := strings.TrimPrefix(c.login(), "token ")
		c.want(200, http.MethodGet, "/user", "token "+token)
		c.want(200, http.MethodGet, "/user", "Bearer "+token)
		c.want(401, http.MethodGet, "/user", "Basic "+token)
		c.want(401, http.MethodGet, "/user", token)
	})
}

func TestWorkspaceIsTheTokensOwn(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		one, other := c.loginUser("789"), c.loginUser("789")
		status, session := c.call(http.MethodPatch, "/session", one, `{"workspace_id":"dev"}`)
		if status != 200 || session["workspace_id"] != "dev" {
			t.Errorf("answered %d %v", status, session)
		}
		if session["sudo_user_id"] != lookertest.ServiceAccountID {
			t.Errorf("acts through %v, want the service account", session["sudo_user_id"])
		}
		session = c.want(200, http.MethodGet, "/session", c.login())
		if session["sudo_user_id"] != nil {
			t.Errorf("the service account acts through %v", session["sudo_user_id"])
		}
		workspaces := map[string]string{one: "dev", other: "production", c.login(): "production"}
		for token, want := range workspaces {
			if got := c.want(200, http.MethodGet, "/session", token)["workspace_id"]; got != want {
				t.Errorf("a session is in %v, want %s", got, want)
			}
		}
		status, _ = c.call(http.MethodPatch, "/session", one, `{"workspace_id":"nowhere"}`)
		if status != 400 {
			t.Errorf("a workspace that is none: answered %d, want 400", status)
		}
	})
}
