package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestEachCustomerGetsTheirOwnData(t *testing.T) {
	simulate(t, func(t *testing.T, s *stand) {
		var tokens []string
		for customer, want := range map[string][2]string{
			"ann": {"Ann", "Oak desk"}, "bob": {"Bob", "Espresso machine"},
		} {
			s.want(t, "/", customer, http.StatusOK, "Welcome back, "+want[0])
			s.want(t, "/orders.csv", customer, http.StatusOK, want[1])
			tokens = append(tokens, s.token(t, customer).AccessToken)
			me := s.callLooker(t, tokens[len(tokens)-1], "/user")
			if !strings.Contains(me, `"display_name":"`+want[0]) {
				t.Errorf("the token of %s is of %s", customer, me)
			}
		}
		if tokens[0] == tokens[1] {
			t.Error("two customers have one token")
		}
	})
}

type answeredToken struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
}

// token is what the customer's page gets.
func (s *stand) token(t *testing.T, customer string) answeredToken {
	t.Helper()
	status, body := s.call("POST", "/looker-token", customer, nil)
	var token answeredToken
	if err := json.Unmarshal([]byte(body), &token); err != nil || status != http.StatusOK {
		t.Fatalf("/looker-token: %d %s", status, body)
	}
	return token
}

// callLooker is a call of a page's.
func (s *stand) callLooker(t *testing.T, token, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.looker.URL+"/api/4.0"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.looker.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := httptest.NewRecorder()
	if err := resp.Write(answer); err != nil {
		t.Fatal(err)
	}
	return answer.Body.String()
}

func TestTokenIsForItsCustomersPageAlone(t *testing.T) {
	simulate(t, func(t *testing.T, s *stand) {
		site := func(site string) http.Header { return http.Header{"Sec-Fetch-Site": {site}} }
		for _, try := range []struct {
			method, customer string
			header           http.Header
			want             int
		}{
			{"POST", "ann", nil, http.StatusOK},
			{"POST", "ann", site("same-origin"), http.StatusOK},
			{"POST", "ann", site("cross-site"), http.StatusForbidden},
			{"POST", "ann", site("same-site"), http.StatusForbidden},
			{"POST", "ann", http.Header{"Origin": {"https://other.example"}}, http.StatusForbidden},
			{"GET", "ann", nil, http.StatusMethodNotAllowed},
			{"POST", "", nil, http.StatusUnauthorized},
			{"POST", "1", nil, http.StatusUnauthorized}, // the service account
			{"POST", "eve", nil, http.StatusForbidden},
		} {
			status, body := s.call(try.method, "/looker-token", try.customer, try.header)
			if status != try.want || strings.Contains(body, "access_token") != (status == 200) {
				t.Errorf("%+v: %d %s", try, status, body)
			}
		}
		req := httptest.NewRequest("POST", "/looker-token", nil)
		req.AddCookie(signIn(s, "ann"))
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, req)
		if got := answer.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control is %q", got)
		}
	})
}

func TestForgedSessionIsNobodys(t *testing.T) {
	simulate(t, func(t *testing.T, s *stand) {
		set := testSettings
		set.sessionKey = []byte(strings.Repeat("k", 32))
		other, err := newService(s.cache, s.looker.URL, set)
		if err != nil {
			t.Fatal(err)
		}
		cookie := signIn(other, "ann")
		if cookie.Value == "none" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode {
			t.Errorf("the cookie is %v", cookie)
		}
		req := httptest.NewRequest("POST", "/looker-token", nil)
		req.AddCookie(cookie)
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, req)
		if answer.Code != http.StatusUnauthorized {
			t.Errorf("a session with another key's signature: status %d", answer.Code)
		}
	})
}

func TestTokenThatLookerHasRevokedIsReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, s *stand) {
		before := s.token(t, "ann")
		s.looker.Revoke("789")
		status, body := s.call("POST", "/looker-token?rejected=true", "ann", nil)
		if status != http.StatusOK || strings.Contains(body, before.AccessToken) {
			t.Errorf("the page gets %d, and the same token: %v", status,
				strings.Contains(body, before.AccessToken))
		}
	})
}

func TestTokenLivesForMinutes(t *testing.T) {
	simulate(t, func(t *testing.T, s *stand) {
		s.token(t, "ann")
		time.Sleep(time.Hour - time.Minute)
		if token := s.token(t, "ann"); token.ExpiresIn < int(minLife.Seconds()) {
			t.Errorf("the token lives for %d seconds", token.ExpiresIn)
		}
	})
}

func TestErrorsHaveAStatusAndAPage(t *testing.T) {
	for name, try := range map[string]struct {
		breaks func(*lookertest.Server)
		status int
		text   string
	}{
		"unknown": {func(l *lookertest.Server) { l.SetUsers() }, 403, "Looker does not know you"},
		"key":     {func(l *lookertest.Server) { l.SetKey("other", "key") }, 500, "on our side"},
		"right":   {func(l *lookertest.Server) { l.SetAdmin(false) }, 500, "on our side"},
		"busy": {func(l *lookertest.Server) {
			fault := lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {"90"}}}
			l.FailFunc(func(lookertest.Request) lookertest.Fault { return fault })
		}, 503, "Too many people"},
		"away": {drop, 502, "does not answer"},
		"late": {func(l *lookertest.Server) {
			l.FailNext(lookertest.OpAPI, lookertest.Fault{}, lookertest.Fault{Delay: time.Hour})
		}, 504, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, s *stand) {
				try.breaks(s.looker)
				began := time.Now()
				s.want(t, "/", "ann", try.status, try.text)
				if took := time.Since(began); took > requestTime {
					t.Errorf("the customer has waited for %v", took)
				}
			})
		})
	}
}

func TestBusyLookersPauseIsPassedOn(t *testing.T) {
	simulate(t, func(t *testing.T, s *stand) {
		s.looker.FailFunc(func(lookertest.Request) lookertest.Fault {
			return lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {"90"}}}
		})
		req := httptest.NewRequest("GET", "/", nil)
		req.AddCookie(signIn(s, "ann"))
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, req)
		if got := answer.Header().Get("Retry-After"); got != "90" {
			t.Errorf("Retry-After is %q", got)
		}
	})
}

// drop makes Looker absent.
func drop(looker *lookertest.Server) {
	looker.FailFunc(func(lookertest.Request) lookertest.Fault {
		return lookertest.Fault{Drop: true}
	})
}
