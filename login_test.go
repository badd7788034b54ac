package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestCallsOnTheWire(t *testing.T) {
	for _, version := range []string{"", "3.0", "3.1", "4.0"} {
		t.Run(version, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				looker.SetKey("my id", "s&cret=")
				var calls []seen
				cache := newCache(t, looker, func(cfg *lookerauth.Config) {
					cfg.APIVersion = version
					cfg.NonAssociative = version == "3.1"
					cfg.Transport = watch(cfg.Transport, &calls)
				})
				user := cache.User("789")
				token := accessToken(t, user)
				service := accessToken(t, cache.ServiceAccount())
				if err := user.Logout(t.Context()); err != nil {
					t.Fatal(err)
				}
				api, query := "/api/"+version, ""
				if version == "" {
					api = "/api/4.0"
				}
				if version == "3.1" {
					query = "associative=false"
				}
				want := []seen{
					{"POST", api + "/login", "", "application/x-www-form-urlencoded", "", "client_id=my+id&client_secret=s%26cret%3D"},
					{"POST", api + "/login/789", query, "", "token " + service, ""},
					{"DELETE", api + "/logout", "", "", "token " + token, ""},
				}
				if len(calls) != len(want) {
					t.Fatalf("calls: %+v", calls)
				}
				for i := range want {
					if calls[i] != want[i] {
						t.Errorf("got  %+v\nwant %+v", calls[i], want[i])
					}
				}
			})
		})
	}
}

func TestUserIDNeverChangesTheEndpoint(t *testing.T) {
	for _, userID := range []string{
		"../logout", "a/b", "1?associative=false", "1#x", "1;x=y", "%2e%2e", "%2E%2E%2Flogout", `..\logout`, "a b", "ü", "...", "\xff", "a:b@c",
	} {
		t.Run(userID, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				var calls []seen
				cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Transport = watch(cfg.Transport, &calls) })
				accessToken(t, cache.User(userID))
				last := calls[len(calls)-1]
				id, ok := strings.CutPrefix(last.path, "/api/4.0/login/")
				decoded, err := url.PathUnescape(id)
				if !ok || err != nil || decoded != userID || strings.Contains(id, "/") || last.query != "" {
					t.Errorf("sent to %s?%s", last.path, last.query)
				}
				if n := looker.CallsAs(lookertest.LoginUser, userID); n != 1 {
					t.Errorf("Looker saw %d logins of exactly this id", n)
				}
			})
		})
	}
}

func TestKeyDoesNotFollowARedirect(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var calls []seen
		cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Transport = watch(cfg.Transport, &calls) })
		for _, status := range []int{301, 302, 303, 307, 308} {
			looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: status, Header: http.Header{"Location": {looker.URL + "/elsewhere"}}})
			if _, err := cache.ServiceAccount().Token(); !errors.Is(err, lookerauth.ErrNotLooker) {
				t.Errorf("%d: got %v", status, err)
			}
			time.Sleep(30 * time.Second)
		}
		if len(calls) != 5 {
			t.Errorf("%d calls, want 5", len(calls))
		}
	})
}

func TestAnswersBecomeErrors(t *testing.T) {
	html := func(status int) lookertest.Fault {
		return lookertest.Fault{Status: status, Body: "<html>Sign in</html>"}
	}
	status := func(status int) lookertest.Fault { return lookertest.Fault{Status: status} }
	body := func(body string) lookertest.Fault { return lookertest.Fault{Body: body} }
	const hour = `"token_type":"Bearer","expires_in":3600}`
	none := errors.New("none of the sentinels")
	for _, test := range []struct {
		op     lookertest.Op
		fault  lookertest.Fault
		status int
		want   error
		calls  int
	}{
		{lookertest.Login, status(404), 404, lookerauth.ErrBadCredentials, 1},
		{lookertest.Login, status(401), 401, lookerauth.ErrBadCredentials, 1},
		{lookertest.Login, html(404), 404, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, html(401), 401, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, status(400), 400, none, 1},
		{lookertest.Login, status(403), 403, none, 1},
		{lookertest.Login, html(200), 200, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, lookertest.Fault{Status: 204}, 204, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, lookertest.Fault{Status: 302, Header: http.Header{"Location": {"https://sso.example/"}}}, 302, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, body(`{"access_token":"ab`), 200, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, body(`null`), 200, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, body(`[]`), 200, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, body(`{"access_token":"",` + hour), 200, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, body(`{"access_token":7,` + hour), 200, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, body(`{"access_token":"a\r\nX-Admin: 1",` + hour), 200, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, body(`{"access_token":"a b",` + hour), 200, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, body(`{"access_token":"ü",` + hour), 200, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, body(`{"padding":"` + strings.Repeat("x", 64<<10) + `","access_token":"a",` + hour), 200, lookerauth.ErrNotLooker, 1},
		{lookertest.Login, status(500), 500, none, 3},
		{lookertest.Login, html(502), 502, none, 3},
		{lookertest.Login, lookertest.Fault{Drop: true}, 0, none, 3},
		{lookertest.Login, status(429), 429, lookerauth.ErrRateLimited, 3},
		{lookertest.LoginUser, status(404), 404, lookerauth.ErrUserNotFound, 1},
		{lookertest.LoginUser, html(404), 404, lookerauth.ErrNotLooker, 1},
		{lookertest.LoginUser, status(403), 403, lookerauth.ErrForbidden, 1},
		{lookertest.LoginUser, html(403), 403, lookerauth.ErrNotLooker, 1},
		{lookertest.LoginUser, status(401), 401, none, 2}, // the second with another token of the service account
		{lookertest.LoginUser, status(503), 503, none, 3},
	} {
		t.Run(fmt.Sprint(test.op, test.fault), func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker)
				source, userID := cache.ServiceAccount(), ""
				if test.op == lookertest.LoginUser {
					source, userID = cache.User("789"), "789"
				}
				looker.Fail(test.op, -1, test.fault)
				_, err := source.Token()
				var failed *lookerauth.LoginError
				if !errors.As(err, &failed) {
					t.Fatalf("got %v, want a *LoginError", err)
				}
				if failed.Op != string(test.op) || failed.UserID != userID || failed.StatusCode != test.status {
					t.Errorf("got %#v", failed)
				}
				for _, sentinel := range []error{
					lookerauth.ErrBadCredentials, lookerauth.ErrForbidden, lookerauth.ErrUserNotFound,
					lookerauth.ErrRateLimited, lookerauth.ErrNotLooker, lookerauth.ErrClosed,
				} {
					if is := errors.Is(err, sentinel); is != (sentinel == test.want) {
						t.Errorf("errors.Is(%v, %v) is %v", err, sentinel, is)
					}
				}
				if n := looker.Calls(test.op); n != test.calls {
					t.Errorf("%d calls, want %d", n, test.calls)
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("more than one line: %v", err)
				}
			})
		})
	}
}

func TestCredentialsAreAskedBeforeEachLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		key := [2]string{"old", "key"}
		var failure error
		looker.SetKey(key[0], key[1])
		service := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.ClientID, cfg.ClientSecret = "", ""
			cfg.Credentials = func(context.Context) (string, string, error) { return key[0], key[1], failure }
		}).ServiceAccount()
		accessToken(t, service)

		key = [2]string{"new", "key"}
		looker.SetKey(key[0], key[1])
		time.Sleep(time.Hour)
		accessToken(t, service)

		failure = errors.New("the vault is sealed")
		time.Sleep(time.Hour)
		if _, err := service.Token(); !errors.Is(err, failure) {
			t.Errorf("got %v", err)
		}
		checkCalls(t, looker, 2, 0)
	})
}

func TestRejectedServiceAccountTokenIsReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.Revoke(lookertest.ServiceAccount)
		accessToken(t, cache.User("789"))
		checkCalls(t, looker, 2, 2)

		// Within 10 seconds it is not replaced again: the user's login fails.
		looker.Revoke(lookertest.ServiceAccount)
		time.Sleep(10*time.Second - time.Nanosecond)
		var failed *lookerauth.LoginError
		if _, err := cache.User("790").Token(); !errors.As(err, &failed) || failed.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %v, want the 401", err)
		}
		checkCalls(t, looker, 2, 3)
		time.Sleep(10 * time.Second)
		accessToken(t, cache.User("790"))
		checkCalls(t, looker, 3, 5)
	})
}

func TestServiceAccountsFailureIsTheUsersError(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.RevokeAll()
		looker.SetKey("another", "key")
		if _, err := cache.User("789").Token(); !errors.Is(err, lookerauth.ErrBadCredentials) {
			t.Errorf("got %v, want ErrBadCredentials", err)
		}
	})
}

func TestUserLearnsThatTheServiceAccountsLoginTookTooLong(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Delay: time.Hour})
		_, err := cache.User("789").Token()
		var failed *lookerauth.LoginError
		if !errors.As(err, &failed) || failed.Op != "login" || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Second)
		accessToken(t, cache.User("789"))
	})
}
