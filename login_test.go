package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
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
				logOut(t, user)
				api, query := "/api/"+version, ""
				if version == "" {
					api = "/api/4.0"
				}
				if version == "3.1" {
					query = "associative=false"
				}
				want := []seen{
					{
						method: "POST", path: api + "/login",
						contentType: "application/x-www-form-urlencoded",
						body:        "client_id=my+id&client_secret=s%26cret%3D",
					},
					{
						method: "POST", path: api + "/login/789", query: query,
						authorization: "token " + service,
					},
					{
						method: "DELETE", path: api + "/logout",
						authorization: "token " + token,
					},
				}
				if !slices.Equal(calls, want) {
					t.Errorf("got  %+v\nwant %+v", calls, want)
				}
			})
		})
	}
}

func TestUserIDNeverChangesTheEndpoint(t *testing.T) {
	for userID, wire := range map[string]string{
		"a b": "a%20b", "a  b": "a%20%20b", ". .": ".%20.", "...": "...", "..a": "..a", "a.": "a.",
		"a:b": "a:b", "a@b.example": "a@b.example", "@": "@", ":": ":", "-_": "-_",
		strings.Repeat("x", 255): strings.Repeat("x", 255),
	} {
		t.Run(userID, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				var calls []seen
				cache := newCache(t, looker, withTransport(watch(looker.Transport(), &calls)))
				accessToken(t, cache.User(userID))
				last := calls[len(calls)-1]
				if want := "/api/4.0/login/" + wire; last.path != want || last.query != "" {
					t.Errorf("sent to %s?%s, want %s", last.path, last.query, want)
				}
				checkLogins(t, looker, userID, 1)
			})
		})
	}
}

func TestKeyDoesNotFollowARedirect(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var calls []seen
		cache := newCache(t, looker, withTransport(watch(looker.Transport(), &calls)))
		for _, status := range []int{301, 302, 303, 307, 308} {
			looker.FailNext(lookertest.OpLogin, redirected(status, looker.URL+"/elsewhere"))
			failsWith(t, cache.ServiceAccount(), lookerauth.ErrNotLooker)
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
	token := func(token string) lookertest.Fault {
		const rest = `,"token_type":"Bearer","expires_in":3600}`
		return answeredBody(`{"access_token":` + token + rest)
	}
	const login, loginUser = lookertest.OpLogin, lookertest.OpLoginUser
	padding := strings.Repeat("x", 64<<10) // a body is read up to 64 KiB
	none := errors.New("none of the sentinels")
	for _, test := range []struct {
		op     lookertest.Op
		fault  lookertest.Fault
		status int
		want   error
		calls  int
	}{
		{login, answered(404), 404, lookerauth.ErrBadAPIKey, 1},
		{login, answered(401), 401, lookerauth.ErrBadAPIKey, 1},
		{login, html(404), 404, lookerauth.ErrNotLooker, 1},
		{login, html(401), 401, lookerauth.ErrNotLooker, 1},
		{login, answered(400), 400, none, 1},
		{login, answered(403), 403, none, 1},
		{login, html(200), 200, lookerauth.ErrNotLooker, 1},
		{login, answered(204), 204, lookerauth.ErrNotLooker, 1},
		{login, redirected(302, "https://sso.example/"), 302, lookerauth.ErrNotLooker, 1},
		{login, answeredBody(`{"access_token":"ab`), 200, lookerauth.ErrNotLooker, 1},
		{login, answeredBody(`null`), 200, lookerauth.ErrNotLooker, 1},
		{login, answeredBody(`[]`), 200, lookerauth.ErrNotLooker, 1},
		{login, token(`""`), 200, lookerauth.ErrNotLooker, 1},
		{login, token(`7`), 200, lookerauth.ErrNotLooker, 1},
		{login, token(`"a\r\nX-Admin: 1"`), 200, lookerauth.ErrNotLooker, 1},
		{login, token(`"a b"`), 200, lookerauth.ErrNotLooker, 1},
		{login, token(`"ü"`), 200, lookerauth.ErrNotLooker, 1},
		{login, token(`"a","padding":"` + padding + `"`), 200, lookerauth.ErrNotLooker, 1},
		{login, answered(500), 500, none, 3},
		{login, html(500), 500, none, 3},
		{login, html(502), 502, none, 3},
		{login, lookertest.Fault{Drop: true}, 0, none, 3},
		{login, answered(429), 429, lookerauth.ErrRateLimited, 3},
		{loginUser, answered(404), 404, lookerauth.ErrUserNotFound, 1},
		{loginUser, html(404), 404, lookerauth.ErrNotLooker, 1},
		{loginUser, answered(403), 403, lookerauth.ErrForbidden, 1},
		{loginUser, html(403), 403, lookerauth.ErrNotLooker, 1},
		{loginUser, answered(401), 401, none, 2}, // one with another token of the service account
		{loginUser, answered(503), 503, none, 3},
	} {
		t.Run(fmt.Sprint(test.op, test.fault), func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker)
				who := lookerauth.ServiceAccount()
				if test.op == loginUser {
					who = lookerauth.User("789")
				}
				failing(looker, test.op, test.fault)
				_, err := cache.As(who).Token()
				failed := callError(t, err)
				if failed.Op != string(test.op) || failed.Identity != who {
					t.Errorf("got the error of %s %s", failed.Op, failed.Identity)
				}
				if failed.StatusCode != test.status {
					t.Errorf("status %d, want %d", failed.StatusCode, test.status)
				}
				for _, sentinel := range []error{
					lookerauth.ErrBadAPIKey, lookerauth.ErrForbidden,
					lookerauth.ErrUserNotFound, lookerauth.ErrRateLimited,
					lookerauth.ErrNotLooker, lookerauth.ErrClosed,
				} {
					if is := errors.Is(err, sentinel); is != (sentinel == test.want) {
						t.Errorf("errors.Is(%v, %v) is %v", err, sentinel, is)
					}
				}
				if n := looker.Count(test.op, ""); n != test.calls {
					t.Errorf("%d calls, want %d", n, test.calls)
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("more than one line: %v", err)
				}
			})
		})
	}
}

// What came of it reads as a whole token response.
func TestTruncatedAnswerIsNone(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		truncated := iotest.ErrReader(io.ErrUnexpectedEOF)
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			resp := respond(http.StatusOK, nil, "")
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(tokenAnswer), truncated))
			return resp, nil
		})
		service := newCache(t, looker, withTransport(base)).ServiceAccount()
		failsWith(t, service, io.ErrUnexpectedEOF)
	})
}

func TestAPIKeyIsAskedForBeforeEachLogin(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		key := [2]string{"old", "key"}
		var failure error
		looker.SetKey(key[0], key[1])
		service := newCache(t, looker, withAPIKey(func() (string, string, error) {
			return key[0], key[1], failure
		})).ServiceAccount()
		accessToken(t, service)

		key = [2]string{"new", "key"}
		looker.SetKey(key[0], key[1])
		time.Sleep(time.Hour)
		accessToken(t, service)

		failure = errors.New("the vault is sealed")
		time.Sleep(time.Hour)
		failsWith(t, service, failure)
		checkCalls(t, looker, 2, 0)
	})
}

func TestAPIKeyIsCheckedAsThatOfAConfigIs(t *testing.T) {
	for want, key := range map[string][2]string{
		"ClientID is missing: create an API key":                              {"", "secret"},
		"ClientSecret starts or ends with white space: trim it":               {"id", "secret\n"},
		"ClientID starts or ends with white space: trim it; and ClientSecret": {" id", ""},
	} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache := newCache(t, looker, withAPIKey(func() (string, string, error) {
				return key[0], key[1], nil
			}))
			_, err := cache.ServiceAccount().Token()
			checkErrorSays(t, err, "lookerauth: login: no API key: "+want)
			checkCalls(t, looker, 0, 0)
		})
	}
}

func TestRejectedServiceAccountTokenIsReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.Revoke(lookertest.ServiceAccountID)
		accessToken(t, cache.User("789"))
		checkCalls(t, looker, 2, 2)

		// Looker took the replacement: so it is replaced as well once it is rejected.
		looker.Revoke(lookertest.ServiceAccountID)
		accessToken(t, cache.User("790"))
		checkCalls(t, looker, 3, 4)
	})
}

func TestLoginUserThatRejectsEveryTokenCausesNoStorm(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		failing(looker, lookertest.OpLoginUser, answered(http.StatusUnauthorized))
		for i := range 3600 {
			_, err := cache.User(nthUser(i)).Token()
			if status := callError(t, err).StatusCode; status != http.StatusUnauthorized {
				t.Fatalf("got %v, want the 401", err)
			}
			time.Sleep(time.Second)
		}
		if n := looker.Count(lookertest.OpLogin, ""); n < 5 || n > 15 {
			t.Errorf("%d logins of the service account in an hour", n)
		}
	})
}

func TestServiceAccountsFailureIsTheUsersError(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.RevokeAll()
		looker.SetKey("another", "key")
		failsWith(t, cache.User("789"), lookerauth.ErrBadAPIKey)
	})
}

func TestUserLearnsThatTheServiceAccountsLoginTookTooLong(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		failNext(looker, 3, lookertest.OpLogin, delayed(time.Hour))
		_, err := cache.User("789").Token()
		checkError(t, err, context.DeadlineExceeded)
		if callError(t, err).Op != "login" || errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Second)
		accessToken(t, cache.User("789"))
	})
}

// Nobody could use such a token, and each request would log in.
func TestLivesOfLessThanASecondAreRefused(t *testing.T) {
	for _, life := range []string{"0.000001", "0.999", "0", "-1"} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			const format = `{"access_token":"4QDk","token_type":"Bearer","expires_in":%s}`
			failing(looker, lookertest.OpLogin, answeredBody(fmt.Sprintf(format, life)))
			service := newCache(t, looker).ServiceAccount()
			for range 100 {
				failsWith(t, service, lookerauth.ErrNotLooker)
			}
			checkCalls(t, looker, 1, 0)
		})
	}
}
