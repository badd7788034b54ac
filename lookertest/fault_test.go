package lookertest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// status is a fault that is answered so.
func status(status int) lookertest.Fault { return lookertest.Fault{Status: status} }

func TestFailNextFailsOneCallOfTheKindEachInOrder(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		faults := []lookertest.Fault{status(503), {}, {Drop: true}}
		c.looker.FailNext(lookertest.OpAPI, faults...)
		faults[0] = status(418) // its caller's
		token := c.loginUser("789")
		// POST, as net/http sends a GET again by itself.
		c.want(503, http.MethodPost, "/looks", token)
		c.want(200, http.MethodPost, "/looks", token)
		if got, _ := c.call(http.MethodPost, "/looks", token, ""); got != 0 {
			t.Errorf("answered %d, want a closed connection", got)
		}
		c.want(200, http.MethodPost, "/looks", token)
	})
}

func TestFailNextTakesThePlaceOfTheLastOne(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		token := c.login()
		c.looker.FailNext(lookertest.OpAPI, status(503), status(503))
		c.looker.FailNext(lookertest.OpAPI, status(502))
		c.want(502, http.MethodPost, "/looks", token)
		c.want(200, http.MethodPost, "/looks", token)
		c.looker.FailNext(lookertest.OpAPI, status(503))
		c.looker.FailNext(lookertest.OpLogout, status(503))
		c.looker.FailNext(lookertest.OpAPI)
		c.want(200, http.MethodPost, "/looks", token)
		c.want(503, http.MethodDelete, "/logout", token)
	})
}

func TestFailFuncDecidesForEachCallThatFailNextLeaves(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		token, service := c.loginUser("789"), c.login()
		asked := 0
		c.looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			asked++
			if call.Op == lookertest.OpAPI && call.UserID == "789" {
				return status(500 + c.looker.Count(call.Op, call.UserID)) // it may use the Server
			}
			return lookertest.Fault{}
		})
		c.looker.FailNext(lookertest.OpAPI, status(418), lookertest.Fault{})
		c.want(418, http.MethodPost, "/looks", token)
		c.want(200, http.MethodPost, "/looks", token)
		c.want(503, http.MethodPost, "/looks", token)
		c.want(504, http.MethodPost, "/looks", token)
		c.want(200, http.MethodPost, "/looks", service)
		if asked != 3 {
			t.Errorf("asked %d times, want 3", asked)
		}
		c.looker.FailFunc(nil)
		c.want(200, http.MethodPost, "/looks", token)
	})
}

func TestStatusAndBodyOfAFaultAreTheAnswer(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		token := c.login()
		for _, test := range []struct {
			fault  lookertest.Fault
			status int
			body   string // a part of it
		}{
			{lookertest.Fault{Body: `{"half":`}, 200, `{"half":`},
			{lookertest.Fault{Status: 502, Body: "<html>"}, 502, "<html>"},
			{lookertest.Fault{Status: 299}, 299, ""},
			{lookertest.Fault{Status: 300}, 300, `"message":"Multiple Choices"`},
			{lookertest.Fault{Status: 429}, 429, `"message":"Too Many Requests"`},
		} {
			c.looker.FailNext(lookertest.OpAPI, test.fault)
			resp := c.get("/looks", token)
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != test.status ||
				!strings.Contains(string(body), test.body) || test.body == "" && len(body) > 0 {
				t.Errorf("%+v: answered %s: %s, %v", test.fault, resp.Status, body, err)
			}
		}
	})
}

// get returns the answer, whose body the caller closes.
func (c caller) get(path, authorization string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodGet, c.looker.URL+c.api+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := c.looker.Transport().RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func TestAnswerOfAFaultNeedsALiveTokenUnlessItIsAnError(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		revoked := c.loginUser("789")
		c.looker.Revoke("789")
		for _, test := range []struct {
			path  string
			fault lookertest.Fault
			want  int
		}{
			{"/looks", lookertest.Fault{Body: "[]"}, 401},
			{"/looks", lookertest.Fault{Status: 200}, 401},
			{"/looks", lookertest.Fault{Status: 404, Body: "{}"}, 401},
			{"/looks", lookertest.Fault{Status: 503}, 503},
			{"/alive", lookertest.Fault{Status: 201, Body: "{}"}, 201}, // which needs none
		} {
			for _, token := range []string{"", revoked} {
				c.looker.FailNext(lookertest.OpAPI, test.fault)
				if got, _ := c.call(http.MethodGet, test.path, token, ""); got != test.want {
					t.Errorf("%s, %+v: answered %d, want %d", test.path, test.fault, got, test.want)
				}
			}
			if test.path == "/looks" && test.want == 401 {
				c.looker.FailNext(lookertest.OpAPI, test.fault)
				resp := c.get(test.path, c.login())
				resp.Body.Close()
				if want := max(test.fault.Status, 200); resp.StatusCode != want {
					t.Errorf("%+v: answered %s, want %d", test.fault, resp.Status, want)
				}
			}
		}
		c.looker.FailNext(lookertest.OpLogin, lookertest.Fault{Body: `{"a":1}`})
		if _, got := c.call(http.MethodPost, "/login", "", ""); got["a"] != 1.0 {
			t.Errorf("a login answered %v", got)
		}
	})
}

// A test of a missing token would pass if the token could end unnoticed.
func TestAnswerOfAFaultNeedsATokenThatOutlivesTheDelay(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		token := c.login()
		c.looker.FailNext(lookertest.OpAPI, lookertest.Fault{Delay: time.Hour, Body: "[]"})
		c.want(401, http.MethodGet, "/looks", token)
	})
}

func TestBodyOfAFaultIsSaidToBeJSONIfItIs(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		html := http.Header{"Content-Type": {"text/html"}}
		for _, test := range []struct {
			fault lookertest.Fault
			want  string
		}{
			{lookertest.Fault{Body: `[{"id":"1"}]`}, "application/json"},
			{lookertest.Fault{Status: 422, Body: `{"message":null}`}, "application/json"},
			{lookertest.Fault{Body: `{"half":`}, "text/plain; charset=utf-8"},
			{lookertest.Fault{Body: "<html>"}, "text/html; charset=utf-8"},
			{lookertest.Fault{Body: "[]", Header: html}, "text/html"},
		} {
			c.looker.FailNext(lookertest.OpAPI, test.fault)
			resp := c.get("/looks", c.login())
			resp.Body.Close()
			if got := resp.Header.Get("Content-Type"); got != test.want {
				t.Errorf("%+v: the Content-Type is %q, want %q", test.fault, got, test.want)
			}
		}
	})
}

func TestHeaderIsAddedToAnAnswerThatIsOtherwiseAsUsual(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.FailNext(lookertest.OpAPI, lookertest.Fault{
			Header: http.Header{"cache-control": {"max-age=60"}},
		})
		req, _ := http.NewRequest(http.MethodGet, c.looker.URL+c.api+"/user", nil)
		req.Header.Set("Authorization", c.loginUser("789"))
		resp, err := c.looker.Transport().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if got := resp.Header.Get("Cache-Control"); got != "max-age=60" {
			t.Errorf("Cache-Control is %q", got)
		}
		if !strings.Contains(string(body), `"id":"789"`) {
			t.Errorf("answered %s: %s", resp.Status, body)
		}
	})
}

func TestDelayTakesTimeOfTheServersClock(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		token := c.login()
		c.looker.FailNext(lookertest.OpAPI, lookertest.Fault{Delay: time.Minute})
		before := time.Now()
		c.want(200, http.MethodGet, "/user", token)
		if took := time.Since(before); took != time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

func TestLoginThatItsCallerLeftHasNoEffect(t *testing.T) {
	simulate(t, func(t *testing.T, c caller) {
		c.looker.FailNext(lookertest.OpLogin, lookertest.Fault{Delay: time.Minute})
		client := &http.Client{Transport: c.looker.Transport(), Timeout: time.Second}
		cfg := c.looker.Config()
		key := url.Values{"client_id": {cfg.ClientID}, "client_secret": {cfg.ClientSecret}}
		_, err := client.PostForm(cfg.BaseURL+c.api+"/login", key)
		if err == nil {
			t.Error("answered before the delay had passed")
		}
		time.Sleep(time.Hour)
		if alive := c.looker.Alive(); len(alive) != 0 {
			t.Errorf("alive: %v", alive)
		}
	})
}

func TestLoginOfAUserThatItsCallerLeftHasNoEffect(t *testing.T) {
	for name, fault := range map[string]lookertest.Fault{
		"during a delay":    {Delay: time.Minute},
		"before the answer": {},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, c caller) {
				ctx, leave := context.WithCancel(t.Context())
				req, err := http.NewRequestWithContext(ctx, http.MethodPost,
					c.looker.URL+c.api+"/login/789", strings.NewReader("a body"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", c.login())
				c.looker.FailFunc(func(lookertest.Request) lookertest.Fault {
					if fault.Delay == 0 {
						leave()
						time.Sleep(time.Second)
					}
					return fault
				})
				time.AfterFunc(time.Second, leave)
				if _, err := c.looker.Transport().RoundTrip(req); err == nil {
					t.Error("answered")
				}
				time.Sleep(time.Hour - 2*time.Second)
				if n := c.looker.Alive()["789"]; n != 0 {
					t.Errorf("%d tokens are alive", n)
				}
			})
		})
	}
}

func TestStatusThatThereIsNotPanics(t *testing.T) {
	looker := lookertest.New(t)
	for _, bad := range []int{-1, 1, 199, 1000} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, "use 200 to 999, or 0") {
					t.Errorf("%d: %s", bad, text)
				}
			}()
			looker.FailNext(lookertest.OpAPI, status(503), status(bad))
		}()
	}
	looker.FailNext(lookertest.OpAPI, status(200), status(999), status(0))
}

func TestHeaderOfAFaultIsTheAnswers(t *testing.T) {
	s := lookertest.New(t)
	html := http.Header{"Content-Type": {"text/html"}}
	s.FailNext(lookertest.OpAPI, lookertest.Fault{Status: 503, Header: html})
	resp, err := s.Client().Get(s.URL + "/api/4.0/user")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/html" {
		t.Errorf("the Content-Type is %q", got)
	}
}
