package lookertest_test

import (
	"io"
	"net/http"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// says answers with text.
func says(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		lookertest.JSON(w, http.StatusOK, map[string]string{"says": text})
	}
}

func TestHandlerAnswersWhatItsPatternMatches(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.HandleFunc("GET /looks", says("looks"))
		c.looker.HandleFunc("/looks/{id}", func(w http.ResponseWriter, r *http.Request) {
			says(r.PathValue("id")+" "+r.Pattern)(w, r)
		})
		c.looker.Handle("GET /folders/", http.HandlerFunc(says("folders")))
		c.looker.HandleFunc("REPORT /reports", says("reports"))
		token := c.loginUser("789")
		for _, version := range []string{"3.0", "3.1", "4.0"} {
			c.api = "/api/" + version
			for _, test := range []struct{ method, path, want string }{
				{"GET", "/looks", "looks"},
				{"GET", "/looks/a%2Fb", "a/b /looks/{id}"},
				{"DELETE", "/looks/1", "1 /looks/{id}"},
				{"GET", "/folders/1/looks", "folders"},
			} {
				got := c.want(200, test.method, test.path, token)["says"]
				if got != test.want {
					t.Errorf("%s %s: %v, want %s", test.method, test.path, got, test.want)
				}
			}
			// With another method it is a mistake of the program's. What no pattern matches is
			// answered as it was.
			c.want(404, http.MethodPost, "/looks", token)
			c.want(404, http.MethodGet, "/reports", token)
			if got := c.want(200, http.MethodPost, "/boards", token); got["path"] != "/boards" {
				t.Errorf("POST /boards: %v", got)
			}
		}
	})
}

func TestRedirectToASubtreeLeadsBelowTheVersion(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.HandleFunc("/folders/", says("folders"))
		resp := c.get("/folders", c.login())
		resp.Body.Close()
		if got := resp.Header.Get("Location"); got != "/api/4.0/folders/" {
			t.Errorf("leads to %q (%s)", got, resp.Status)
		}
	})
}

func TestHandlerGetsOnlyCallsWithALiveToken(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			if lookertest.UserOf(r).ID == "" {
				t.Errorf("%s is nobody's", r.URL)
			}
			says("handler")(w, r)
		})
		live, expired := c.loginUser("789"), c.loginUser("790")
		c.looker.Revoke("790")
		for _, path := range []string{"/looks", "/user", "/alive", "/versions"} {
			for _, token := range []string{"", "token unknown", expired} {
				c.want(401, http.MethodGet, path, token)
			}
			if got := c.want(200, http.MethodGet, path, live)["says"]; got != "handler" {
				t.Errorf("%s: %v", path, got)
			}
		}
		time.Sleep(time.Hour)
		c.want(401, http.MethodGet, "/looks", live)
	})
}

func TestHandlerGetsOnlyCallsOfTheAPI(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.HandleFunc("/versions", says("handler"))
		c.want(401, http.MethodGet, "/versions", "")
		c.api = ""
		if got := c.want(200, http.MethodGet, "/versions", ""); got["says"] != nil {
			t.Errorf("got %v", got)
		}
	})
}

func TestLoginsAndLogoutGoBeforeAHandler(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.HandleFunc("/", says("handler"))
		c.looker.HandleFunc("POST /login", says("handler"))
		c.looker.HandleFunc("DELETE /logout", says("handler"))
		token := c.loginUser("789")
		c.want(204, http.MethodDelete, "/logout", token)
		c.want(401, http.MethodGet, "/looks", token)
	})
}

func TestFaultGoesBeforeAHandler(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		handled := 0
		c.looker.HandleFunc("/looks", func(http.ResponseWriter, *http.Request) { handled++ })
		token := c.login()
		c.looker.FailNext(lookertest.OpAPI, status(503), lookertest.Fault{Body: "{}"}, status(0))
		c.want(503, http.MethodPost, "/looks", token)
		c.want(200, http.MethodPost, "/looks", token)
		if handled != 0 {
			t.Errorf("%d calls handled", handled)
		}
		if c.want(200, http.MethodPost, "/looks", token); handled != 1 {
			t.Errorf("%d calls handled, want 1", handled)
		}
	})
}

// The path, the query and the header are the same for all three.
func TestHandlerIsToldWhatRequestsAndFailFuncAre(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		var told, failed lookertest.Request
		var body, target, raw string
		c.looker.HandleFunc("/looks/{id}", func(_ http.ResponseWriter, r *http.Request) {
			told = lookertest.Request{
				Op: lookertest.OpAPI, UserID: lookertest.UserOf(r).ID, Method: r.Method,
				Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header.Clone(),
			}
			text, _ := io.ReadAll(r.Body)
			body, target, raw = string(text), r.RequestURI, r.URL.RawPath
			r.Header.Set("Authorization", "changed")
		})
		c.looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			failed = call
			return lookertest.Fault{}
		})
		token := c.loginUser("789")
		c.api = "/api/3.1"
		c.call(http.MethodPatch, "/looks/a%2Fb?limit=5&access_token=x", token, `{"title":"new"}`)
		if !reflect.DeepEqual(told, c.last()) || !reflect.DeepEqual(told, failed) {
			t.Errorf("got %v, FailFunc %v, want %v", told, failed, c.last())
		}
		if told.Path != "/looks/a/b" || told.UserID != "789" || body != `{"title":"new"}` {
			t.Errorf("got %v with %s", told, body)
		}
		if want := "/looks/a%2Fb?access_token=%5Bmasked%5D&limit=5"; target != want {
			t.Errorf("the target is %s, want %s", target, want)
		}
		if raw != "/looks/a%2Fb" {
			t.Errorf("the escaped path is %q", raw)
		}
		if c.call(http.MethodGet, "/looks/1", token, ""); raw != "" {
			t.Errorf("a path without escapes is %q", raw)
		}
	})
}

func TestUserOfIsWhoseTokenCame(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		ann := lookertest.User{
			ID: "789", FirstName: "Ann", LastName: "Lee", Email: "ann@looker.example",
			Credentials: map[lookerauth.CredentialType]string{lookerauth.CredentialEmbed: "c-42"},
		}
		c.looker.SetUsers(ann)
		var got lookertest.User
		c.looker.HandleFunc("/looks", func(_ http.ResponseWriter, r *http.Request) {
			got = lookertest.UserOf(r)
			lookertest.UserOf(r).Credentials[lookerauth.CredentialEmbed] = "changed"
		})
		for range 2 {
			c.want(200, http.MethodGet, "/looks", c.loginUser("789"))
			if !reflect.DeepEqual(got, ann) {
				t.Errorf("got %+v, want %+v", got, ann)
			}
		}
		c.looker.HandleFunc("/folders", func(_ http.ResponseWriter, r *http.Request) {
			got = lookertest.UserOf(r)
		})
		c.want(200, http.MethodGet, "/folders", c.login())
		if got.ID != lookertest.ServiceAccountID || got.FirstName != "Service" {
			t.Errorf("the service account is %+v", got)
		}
	})
	request := &http.Request{URL: &url.URL{}}
	if got := lookertest.UserOf(request); !reflect.DeepEqual(got, lookertest.User{}) {
		t.Errorf("a request of another server is of %+v", got)
	}
}

func TestPatternThatIsNoneOrTakenPanics(t *testing.T) {
	looker := lookertest.New(t)
	looker.HandleFunc("GET /looks", says("looks"))
	for name, handle := range map[string]func(){
		"taken":       func() { looker.HandleFunc("GET /looks", says("looks")) },
		"none":        func() { looker.HandleFunc("GET", says("looks")) },
		"empty":       func() { looker.HandleFunc("", says("looks")) },
		"no handler":  func() { looker.Handle("/folders", nil) },
		"no function": func() { looker.HandleFunc("/folders", nil) },
		"nil":         func() { looker.Handle("/folders", http.HandlerFunc(nil)) },
		"whole path":  func() { looker.HandleFunc("GET /api/4.0/looks", says("looks")) },
		"old version": func() { looker.HandleFunc("/api/3.1/", says("looks")) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			handle()
		})
	}
}

func TestJSONIsWrittenWithItsStatusAndType(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		answers := map[string]any{
			"/created": map[string]string{"id": "1"},
			"/none":    func() {},
		}
		c.looker.HandleFunc("/{name}", func(w http.ResponseWriter, r *http.Request) {
			lookertest.JSON(w, http.StatusCreated, answers[r.URL.Path])
		})
		for path, want := range map[string]struct {
			status      int
			contentType string
			body        string
		}{
			"/created": {201, "application/json", `{"id":"1"}`},
			"/none": {
				500, "text/plain; charset=utf-8",
				"lookertest: JSON: json: unsupported type: func()",
			},
		} {
			resp := c.get(path, c.login())
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			contentType := resp.Header.Get("Content-Type")
			if resp.StatusCode != want.status || contentType != want.contentType ||
				string(body) != want.body+"\n" {
				t.Errorf("%s: %s, %s, %s", path, resp.Status, contentType, body)
			}
		}
	})
}
