package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// authorizing is a base that puts its own Authorization on requests for which which says so.
func authorizing(
	base http.RoundTripper, authorization string, which func(*http.Request) bool,
) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if which == nil || which(req) {
			req = req.Clone(req.Context())
			req.Header.Set("Authorization", authorization)
		}
		return base.RoundTrip(req)
	})
}

// foreignBases returns bases that authorize as the service account.
func foreignBases(
	t *testing.T, looker *lookertest.Server, admin *lookerauth.TokenSource,
) map[string]http.RoundTripper {
	t.Helper()
	token, err := admin.Token()
	if err != nil {
		t.Fatal(err)
	}
	own := looker.Transport()
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, looker.Client())
	return map[string]http.RoundTripper{
		"oauth2":    oauth2.NewClient(ctx, admin).Transport,
		"Transport": admin.Client().Transport,
		"wrapped oauth2": roundTripper(
			(&oauth2.Transport{Source: admin, Base: own}).RoundTrip),
		"wrapped Transport": roundTripper(admin.Client().Transport.RoundTrip),
		"other name":        lowerCase(own, "token "+token.AccessToken),
		"any":               authorizing(own, "token "+token.AccessToken, nil),
	}
}

// lowerCase is a base that adds a header whose name is not as net/http writes it.
func lowerCase(base http.RoundTripper, authorization string) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.Header["authorization"] = []string{authorization}
		return base.RoundTrip(req)
	})
}

func TestBaseThatAuthorizesNeverActsAsSomebodyElse(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.User("789"))
		for name, base := range foreignBases(t, looker, cache.ServiceAccount()) {
			client := &http.Client{Transport: cache.User("789").Transport(base)}
			before := looker.Count(lookertest.OpAPI, "")
			body := &closeRecorder{Reader: strings.NewReader("hello")}
			resp, err := client.Post(looker.URL+looks, "text/plain", body)
			if err == nil {
				t.Errorf("%s: answered %+v", name, readAnswer(t, resp))
				continue
			}
			checkErrorSays(t, err, "as somebody else", "Base")
			if !body.closed {
				t.Errorf("%s: the body was not closed", name)
			}
			if strings.HasPrefix(name, "oauth2") || strings.HasPrefix(name, "Transport") {
				if n := looker.Count(lookertest.OpAPI, ""); n != before {
					t.Errorf("%s: the request was sent", name)
				}
			}
		}
	})
}

func TestBaseThatIsKnownToAuthorizeCostsNoLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		base := &oauth2.Transport{Source: cache.ServiceAccount(), Base: looker.Transport()}
		client := &http.Client{Transport: cache.User("789").Transport(base)}
		_, err := client.Get(looker.URL + looks)
		checkErrorSays(t, err, "as somebody else")
		checkCalls(t, looker, 0, 0)
	})
}

func TestErrorOfABaseTellsNoToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		token := accessToken(t, user)
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("cannot send %v: %w", req.Header, io.ErrNoProgress)
		})
		_, err := (&http.Client{Transport: user.Transport(base)}).Get(looker.URL + looks)
		checkError(t, err, io.ErrNoProgress)
		if strings.Contains(err.Error(), token) {
			t.Errorf("got %v", err)
		}
	})
}

// What such a base brings is closed, or its connection would stay busy.
func TestWithheldAnswerIsClosed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		body := &closeRecorder{Reader: strings.NewReader("secret")}
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			req = req.Clone(req.Context())
			req.Header.Add("Authorization", "token another")
			resp := respond(http.StatusOK, nil, "")
			resp.Request, resp.Body = req, body
			return resp, nil
		})
		client := &http.Client{Transport: newCache(t, looker).User("789").Transport(base)}
		if resp, err := client.Get(looker.URL + looks); err == nil {
			t.Errorf("got %v", resp)
		}
		if !body.closed {
			t.Error("the answer was not closed")
		}
	})
}

func TestConfigsTransportMustNotAuthorize(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		admin := newCache(t, looker).ServiceAccount()
		for _, base := range []http.RoundTripper{
			&oauth2.Transport{Source: admin}, admin.Client().Transport,
		} {
			cfg := looker.Config()
			cfg.Transport = base
			_, err := lookerauth.New(cfg)
			checkErrorSays(t, err, "Transport", "base instead")
		}
	})
}

func TestCallThatWentOutAsSomebodyElseFails(t *testing.T) {
	for op, isOp := range map[string]func(*http.Request) bool{
		"login_user": func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/login/") },
		"logout":     func(r *http.Request) bool { return r.Method == http.MethodDelete },
	} {
		t.Run(op, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				admin := accessToken(t, newCache(t, looker).ServiceAccount())
				base := authorizing(looker.Transport(), "token "+admin, isOp)
				user := newCache(t, looker, withTransport(base)).User("789")
				_, err := user.Token()
				if op == "logout" {
					if err != nil {
						t.Fatal(err)
					}
					err = user.Logout(t.Context())
				}
				checkErrorSays(t, err, op, "another Authorization")
				if got := callError(t, err).Op; got != op {
					t.Errorf("the error is of %s", got)
				}
			})
		})
	}
}

func TestAfterLoginsClientActsAsNobodyElse(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		isAPI := func(r *http.Request) bool { return r.URL.Path == looks }
		base := authorizing(looker.Transport(), "token another", isAPI)
		afterLogin := func(_ context.Context, login lookerauth.Login) error {
			resp, err := login.Client.Get(looker.URL + looks)
			if err == nil {
				resp.Body.Close()
				return errors.New("it was answered")
			}
			checkErrorSays(t, err, "as somebody else")
			return nil
		}
		cache := newCache(t, looker, withTransport(base), withAfterLogin(afterLogin))
		accessToken(t, cache.User("789"))
	})
}
