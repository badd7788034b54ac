package lookertest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth/lookertest"
)

// last is the newest of the Requests.
func (c caller) last() lookertest.Request {
	c.t.Helper()
	all := c.looker.Requests()
	if len(all) == 0 {
		c.t.Fatal("no requests")
	}
	return all[len(all)-1]
}

func TestRequestsSayWhatEachCallWas(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		token := c.loginUser("a/b")
		c.call(http.MethodGet, "/alive", "", "")
		c.call(http.MethodGet, "/alive", token, "")
		c.api = "/api/3.1"
		c.call(http.MethodPatch, "/looks/a%20b/?limit=5", token, `{"title":"new"}`)
		c.call(http.MethodGet, "/user", "token unknown", "")
		c.call(http.MethodDelete, "/logout", token, "")
		c.call(http.MethodPost, "/", token, "")
		type seen struct {
			op                   lookertest.Op
			userID, method, path string
		}
		want := []seen{
			{lookertest.OpLogin, "1", "POST", "/login"},
			{lookertest.OpLoginUser, "a/b", "POST", "/login/a/b"},
			{lookertest.OpAPI, "", "GET", "/alive"},
			{lookertest.OpAPI, "a/b", "GET", "/alive"},
			{lookertest.OpAPI, "a/b", "PATCH", "/looks/a b/"},
			{lookertest.OpAPI, "", "GET", "/user"},
			{lookertest.OpLogout, "a/b", "DELETE", "/logout"},
			{lookertest.OpAPI, "", "POST", "/"},
		}
		var got []seen
		for _, r := range c.looker.Requests() {
			got = append(got, seen{r.Op, r.UserID, r.Method, r.Path})
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if query := c.looker.Requests()[4].Query; query.Encode() != "limit=5" {
			t.Errorf("the query is %v", query)
		}
	})
}

func TestRequestsHaveNoSecrets(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		cfg, token := c.looker.Config(), c.loginUser("789")
		key := url.Values{
			"client_id":     {cfg.ClientID, cfg.ClientID},
			"client_secret": {cfg.ClientSecret},
			"limit":         {"5"},
		}
		for _, path := range []string{"/login", "/looks"} {
			target := c.looker.URL + c.api + path + "?" + key.Encode()
			body := strings.NewReader(key.Encode())
			req, err := http.NewRequest(http.MethodPost, target, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{
				"Authorization":       {token, token},
				"Proxy-Authorization": {token},
				"Cookie":              {"session=" + token},
				"Content-Type":        {"application/x-www-form-urlencoded"},
				"X-Request-Id":        {"42"},
			}
			resp, err := c.looker.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: answered %s", path, resp.Status)
			}
			got := c.last()
			if got.Query.Get("limit") != "5" || got.Header.Get("X-Request-Id") != "42" {
				t.Errorf("%s: something else is masked: %v", path, got)
			}
			if len(got.Header["Authorization"]) != 2 || len(got.Query["client_id"]) != 2 {
				t.Errorf("%s: does not show that there were two: %v", path, got)
			}
		}
		secrets := []string{cfg.ClientID, cfg.ClientSecret, strings.TrimPrefix(token, "token ")}
		for _, r := range c.looker.Requests() {
			for _, secret := range secrets {
				if text := fmt.Sprint(r); strings.Contains(text, secret) {
					t.Errorf("%s is in %s", secret, text)
				}
			}
		}
	})
}

func TestFailFuncGetsWhatRequestsReturn(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		var got []lookertest.Request
		c.looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			got = append(got, call)
			return lookertest.Fault{Status: http.StatusTeapot}
		})
		c.call(http.MethodPost, "/login?client_secret=hidden", "token hidden", "")
		c.call(http.MethodPost, "/login/789", "token hidden", "")
		c.call(http.MethodGet, "/looks?limit=5", "token hidden", "")
		if want := c.looker.Requests(); len(got) != 3 || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestRequestsBelongToWhoGetsThem(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		change := func(call lookertest.Request) {
			call.Query.Set("limit", "6")
			call.Header.Set("Authorization", "changed")
		}
		c.looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			change(call)
			return lookertest.Fault{}
		})
		c.want(200, http.MethodGet, "/looks?limit=5", c.login())
		change(c.last())
		got := c.last()
		if got.Query.Get("limit") != "5" || got.Header.Get("Authorization") == "changed" {
			t.Errorf("changed from without: %v", got)
		}
	})
}

func TestRequestsAreTheLastThousand(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		for i := range 2100 {
			c.call(http.MethodGet, fmt.Sprintf("/looks/%d", i), "", "")
		}
		all := c.looker.Requests()
		if len(all) != 1000 {
			t.Fatalf("%d requests, want 1000", len(all))
		}
		for i, r := range all {
			if want := fmt.Sprintf("/looks/%d", 1100+i); r.Path != want {
				t.Fatalf("request %d is %s, want %s", i, r.Path, want)
			}
		}
		if n := c.looker.Count(lookertest.OpAPI, ""); n != 2100 {
			t.Errorf("%d calls were counted, want 2100", n)
		}
	})
}

func TestCountIsOfOneUserOrOfAll(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		token, service := c.loginUser("789"), c.login()
		c.looker.FailNext(lookertest.OpAPI, status(503))
		for _, authorization := range []string{token, token, service, "", "token unknown"} {
			c.call(http.MethodPost, "/looks", authorization, "")
		}
		for _, test := range []struct {
			op     lookertest.Op
			userID string
			want   int
		}{
			{lookertest.OpLogin, "1", 2},
			{lookertest.OpLogin, "", 2},
			{lookertest.OpLogin, "789", 0},
			{lookertest.OpLoginUser, "789", 1},
			{lookertest.OpLoginUser, "1", 0},
			{lookertest.OpLogout, "", 0},
			{lookertest.OpAPI, "789", 2}, // one was made to fail
			{lookertest.OpAPI, lookertest.ServiceAccountID, 1},
			{lookertest.OpAPI, "", 5},
		} {
			if n := c.looker.Count(test.op, test.userID); n != test.want {
				t.Errorf("%d calls of %s for %q, want %d", n, test.op, test.userID, test.want)
			}
		}
	})
}

func TestOpThatThereIsNotPanics(t *testing.T) {
	looker := lookertest.New(t)
	for name, use := range map[string]func(lookertest.Op){
		"Count":    func(op lookertest.Op) { looker.Count(op, "") },
		"FailNext": func(op lookertest.Op) { looker.FailNext(op) },
	} {
		for _, op := range []lookertest.Op{"", "login_usr"} {
			func() {
				defer func() {
					if text := fmt.Sprint(recover()); !strings.Contains(text, "use one of the") {
						t.Errorf("%s of %q: %s", name, op, text)
					}
				}()
				use(op)
			}()
		}
	}
}

func TestSecretsAreMaskedHoweverTheirNamesAreWritten(t *testing.T) {
	s := lookertest.New(t)
	for _, name := range []string{"client_secret", "Client_Secret", "ACCESS_TOKEN"} {
		resp, err := s.Client().Get(s.URL + "/api/4.0/user?" + name + "=hunter2")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for _, request := range s.Requests() {
		if query := request.Query.Encode(); strings.Contains(query, "hunter2") {
			t.Errorf("%s", query)
		}
	}
}
