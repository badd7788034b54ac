package lookertest_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth/lookertest"
)

// send returns the answer to a call with this header, and its body.
func send(t *testing.T, looker *lookertest.Server, method, path string, header http.Header) (
	*http.Response, string,
) {
	t.Helper()
	req, err := http.NewRequest(method, looker.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	resp, err := looker.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestPathOutsideTheAPIIsAnEmpty403(t *testing.T) {
	looker := lookertest.New(t)
	for _, path := range []string{
		"/", "/login", "/api", "/api/3.1/login", "/api/5.0/user", "/api/4.0x", "/looks/1",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			resp, body := send(t, looker, method, path, nil)
			if resp.StatusCode != http.StatusForbidden || body != "" {
				t.Errorf("%s %s: %s %q", method, path, resp.Status, body)
			}
		}
	}
	if calls := looker.Requests(); len(calls) != 0 {
		t.Errorf("they are calls: %v", calls)
	}
}

func TestVersionsNeedNoToken(t *testing.T) {
	for _, versions := range [][]string{nil, {"4.0"}, {"3.1"}, {"4.0", "3.0", "3.1", "3.0"}} {
		looker := lookertest.New(t, lookertest.WithAPIVersions(versions...))
		want, newest := "4.0", "4.0"
		if len(versions) == 4 {
			want = "3.0 3.1 4.0"
		}
		if len(versions) == 1 {
			want, newest = versions[0], versions[0]
		}
		for _, path := range []string{"/versions", "/api/" + newest + "/versions"} {
			resp, body := send(t, looker, http.MethodGet, path, nil)
			var answer struct {
				Release   string                     `json:"looker_release_version"`
				Current   struct{ Version string }   `json:"current_version"`
				Supported []struct{ Version string } `json:"supported_versions"`
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatalf("%s: %s %s", path, resp.Status, body)
			}
			var got []string
			for _, version := range answer.Supported {
				got = append(got, version.Version)
			}
			if answer.Current.Version != newest || strings.Join(got, " ") != want ||
				answer.Release == "" {
				t.Errorf("%v, %s: %s", versions, path, body)
			}
		}
		if calls := looker.Requests(); len(calls) != 2 || calls[0].Path != "/versions" ||
			calls[1].Path != "/versions" {
			t.Errorf("the calls are %v", calls)
		}
	}
}

func TestOldVersionsAreServedIfAskedFor(t *testing.T) {
	looker := lookertest.New(t, lookertest.WithAPIVersions("3.1"))
	for version, want := range map[string]int{"3.0": 403, "3.1": 401, "4.0": 403} {
		path := "/api/" + version + "/user"
		if resp, _ := send(t, looker, http.MethodGet, path, nil); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
}

func TestOptionsBelongToTheServer(t *testing.T) {
	versions, origins := []string{"3.1"}, []string{"https://app.example"}
	opts := []lookertest.Option{
		lookertest.WithAPIVersions(versions...), lookertest.WithOrigins(origins...),
	}
	versions[0], origins[0] = "4.0", "https://else.example"
	looker := lookertest.New(t, opts...)
	header := http.Header{"Origin": {"https://app.example"}}
	resp, _ := send(t, looker, http.MethodGet, "/api/3.1/user", header)
	if resp.StatusCode != 401 || resp.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("answered %s %v", resp.Status, resp.Header)
	}
}

func TestVersionThatThereIsNotIsAnError(t *testing.T) {
	_, err := lookertest.Start(lookertest.WithAPIVersions("4.0", "v3"))
	if err == nil || !strings.Contains(err.Error(), `"v3": give WithAPIVersions 3.0, 3.1 or 4.0`) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsLeadToLookersDocumentation(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		const docs = "https://cloud.google.com/looker/docs/r/err/"
		c.looker.SetUsers()
		admin := c.login()
		check := func(got map[string]any, message, url string) {
			t.Helper()
			if got["message"] != message || got["documentation_url"] != docs+url || len(got) != 2 {
				t.Errorf("answered %v, want %s, %s", got, message, url)
			}
		}
		got := c.want(404, http.MethodPost, "/login", "")
		check(got, "Not found", "4.0/404/post/login")
		got = c.want(404, http.MethodPost, "/login/789", admin)
		check(got, "Not found", "4.0/404/post/login/:user_id")
		got = c.want(401, http.MethodGet, "/looks/a%2Fb", "")
		check(got, "Requires authentication.", "4.0/401/get/looks/a%2Fb")
		c.looker.FailNext(lookertest.OpLogout, status(429))
		got = c.want(429, http.MethodDelete, "/logout", admin)
		check(got, "Too Many Requests", "4.0/429/delete/logout")
		c.api = "/api/3.1"
		got = c.want(401, http.MethodGet, "/user", "")
		check(got, "Requires authentication.", "3.1/401/get/user")
	})
}
