package lookertest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestPagesOfAllowedOriginsMayCallTheAPI(t *testing.T) {
	const app = "https://app.example"
	looker := lookertest.New(t, lookertest.WithOrigins("https://other.example", app))
	ask := http.Header{
		"Origin":                         {app},
		"Access-Control-Request-Method":  {"PATCH"},
		"Access-Control-Request-Headers": {"authorization,x-looker-appid"},
	}
	resp, _ := send(t, looker, http.MethodOptions, "/api/4.0/looks/1", ask)
	for name, part := range map[string]string{
		"Access-Control-Allow-Origin":  app,
		"Access-Control-Allow-Methods": "PATCH",
		"Access-Control-Allow-Headers": "authorization,x-looker-appid",
		"Vary":                         "Origin",
	} {
		if got := resp.Header.Get(name); !strings.Contains(got, part) {
			t.Errorf("the preflight's %s is %q", name, got)
		}
	}
	if resp.StatusCode != http.StatusNoContent || len(looker.Requests()) != 0 {
		t.Errorf("the preflight got %s, and is one of %v", resp.Status, looker.Requests())
	}
	ask.Del("Access-Control-Request-Method")
	resp, _ = send(t, looker, http.MethodOptions, "/api/4.0/looks/1", ask)
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("OPTIONS that is no preflight got %s", resp.Status)
	}
	looker.HandleFunc("/quiet", func(http.ResponseWriter, *http.Request) {})
	token := caller{t, looker, "/api/4.0"}.loginUser("789")
	for _, test := range []struct {
		path, origin, authorization string
		status                      int
		want                        string
	}{
		{"/api/4.0/user", app, token, 200, app},
		{"/api/4.0/quiet", app, token, 200, app},
		{"/api/4.0/user", app, "", 401, app}, // which the page may read, too
		{"/api/4.0/user", "https://else.example", token, 200, ""},
		{"/api/4.0/user", "https://app.example.else.example", token, 200, ""},
		{"/api/4.0/user", "", token, 200, ""},
		{"/login", app, "", 403, ""},
	} {
		header := http.Header{"Origin": {test.origin}, "Authorization": {test.authorization}}
		resp, _ := send(t, looker, http.MethodGet, test.path, header)
		got := resp.Header.Get("Access-Control-Allow-Origin")
		if got != test.want || resp.StatusCode != test.status {
			t.Errorf("%+v: %s for %q", test, resp.Status, got)
		}
	}
}

func TestNoPageMayLogIn(t *testing.T) {
	const app = "https://app.example"
	looker := lookertest.New(t, lookertest.WithOrigins(app))
	for _, path := range []string{"/api/4.0/login", "/api/4.0/login/789"} {
		for _, method := range []string{http.MethodOptions, http.MethodPost} {
			header := http.Header{"Origin": {app}, "Access-Control-Request-Method": {"POST"}}
			resp, _ := send(t, looker, method, path, header)
			if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" ||
				resp.StatusCode < 400 {
				t.Errorf("%s %s: %s for %q", method, path, resp.Status, got)
			}
		}
	}
}

func TestNoOriginIsAllowedUnlessAsked(t *testing.T) {
	looker := lookertest.New(t)
	ask := http.Header{"Origin": {"null"}, "Access-Control-Request-Method": {"GET"}}
	resp, _ := send(t, looker, http.MethodOptions, "/api/4.0/user", ask)
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" || resp.StatusCode != 401 {
		t.Errorf("%s for %q", resp.Status, got)
	}
}
