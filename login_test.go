package lookerauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// seen is a call as it was on the wire.
type seen struct {
	method, path, query, contentType, authorization, body string
}

// watch is a base that records the calls.
func watch(base http.RoundTripper, calls *[]seen) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		*calls = append(*calls, seen{
			req.Method, req.URL.EscapedPath(), req.URL.RawQuery,
			req.Header.Get("Content-Type"), req.Header.Get("Authorization"), string(body),
		})
		return base.RoundTrip(req)
	})
}

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

func TestPassingFailureIsRetried(t *testing.T) {
	for _, fault := range []lookertest.Fault{{Status: 503}, {Drop: true}, {Status: 429}} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.Fail(lookertest.Login, 2, fault)
			before := time.Now()
			accessToken(t, newCache(t, looker).ServiceAccount())
			if took := time.Since(before); took < 300*time.Millisecond || took > 600*time.Millisecond {
				t.Errorf("%+v: the third try came after %v", fault, took)
			}
		})
	}
}

func TestIdentitiesThatFailTogetherAreNotRetriedTogether(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		waits := make(map[time.Duration]bool)
		for i := range 50 {
			looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: 503})
			before := time.Now()
			accessToken(t, cache.ServiceAccount())
			took := time.Since(before)
			waits[took] = true
			if took < 100*time.Millisecond || took >= 200*time.Millisecond {
				t.Errorf("login %d: the second try came after %v", i, took)
			}
			if err := cache.ServiceAccount().Logout(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(waits) < 25 {
			t.Errorf("only %d different waits before 50 second tries", len(waits))
		}
	})
}

// slowClock is a clock that takes ten times as long as the simulated one.
type slowClock struct{}

func (slowClock) Now() time.Time                         { return synctestEpoch.Add(time.Since(synctestEpoch) / 10) }
func (slowClock) After(d time.Duration) <-chan time.Time { return time.After(10 * d) }

func TestLoginWaitsByTheClock(t *testing.T) {
	for name, tt := range map[string]struct {
		fault       lookertest.Fault
		least, most time.Duration // on the simulated clock
	}{
		"backoff":      {lookertest.Fault{Status: 503}, time.Second, 2 * time.Second},
		"Retry-After":  {lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}}, 10 * time.Second, 10 * time.Second},
		"LoginTimeout": {lookertest.Fault{Delay: time.Hour}, 300 * time.Second, 300 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				looker.Fail(lookertest.Login, 1, tt.fault)
				service := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Clock = slowClock{} }).ServiceAccount()
				before := time.Now()
				_, err := service.Token()
				if took := time.Since(before); took < tt.least || took > tt.most {
					t.Errorf("the login ended after %v (%v), want %v to %v", took, err, tt.least, tt.most)
				}
			})
		})
	}
}

func TestRetryAfterIsWaitedOutByEveryLogin(t *testing.T) {
	for _, header := range []string{"1", synctestEpoch.Add(time.Second).Format(http.TimeFormat)} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			cache := newCache(t, looker)
			looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {header}}})
			before := time.Now()
			go func() { _, _ = cache.ServiceAccount().Token() }()
			synctest.Wait()
			accessToken(t, cache.User("789"))
			if took := time.Since(before); took < time.Second || took > 2*time.Second {
				t.Errorf("logged in after %v", took)
			}
			checkCalls(t, looker, 2, 1)
		})
	}
}

func TestLongRetryAfterFailsEveryLoginAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.Fail(lookertest.LoginUser, 1, lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {"3600"}}})
		before := time.Now()
		for _, userID := range []string{"789", "790"} {
			_, err := cache.User(userID).Token()
			var failed *lookerauth.LoginError
			if !errors.As(err, &failed) || !errors.Is(err, lookerauth.ErrRateLimited) || failed.RetryAfter != time.Hour || failed.UserID != userID {
				t.Errorf("got %v", err)
			}
		}
		if took := time.Since(before); took != 0 {
			t.Errorf("took %v", took)
		}
		checkCalls(t, looker, 1, 1)
		time.Sleep(time.Hour)
		accessToken(t, cache.User("790"))
	})
}

func TestShorterPauseDoesNotEndALongerOne(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.FailFunc(func(call lookertest.Call) *lookertest.Fault {
			switch call.UserID {
			case "long":
				return &lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {"3600"}}}
			case "short":
				return &lookertest.Fault{Delay: time.Second, Status: 429, Header: http.Header{"Retry-After": {"60"}}}
			}
			return nil
		})
		var wg sync.WaitGroup
		for _, userID := range []string{"short", "long"} {
			wg.Go(func() { _, _ = cache.User(userID).Token() })
		}
		wg.Wait()
		time.Sleep(30 * time.Minute)
		if _, err := cache.User("789").Token(); !errors.Is(err, lookerauth.ErrRateLimited) {
			t.Errorf("half-way through the longer pause: %v", err)
		}
	})
}

func TestLogoutIsRetried(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		looker.Fail(lookertest.Logout, 2, lookertest.Fault{Status: 503})
		if err := user.Logout(t.Context()); err != nil {
			t.Error(err)
		}
		if n := looker.Alive()["789"]; n != 0 {
			t.Errorf("%d tokens alive", n)
		}
	})
}

func TestQueuedLoginsHeedThePause(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.MaxConcurrentLogins = 2 })
		accessToken(t, cache.ServiceAccount())
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{
			Delay: time.Second, Status: 429, Header: http.Header{"Retry-After": {"3600"}},
		})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := cache.User(fmt.Sprint(i)).Token(); !errors.Is(err, lookerauth.ErrRateLimited) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		checkCalls(t, looker, 1, 2)
	})
}

func TestPauseDoesNotOutliveAClockSetBack(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		steps := &steppedClock{}
		cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Clock = steps })
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {"3600"}}})
		if _, err := cache.ServiceAccount().Token(); !errors.Is(err, lookerauth.ErrRateLimited) {
			t.Errorf("got %v", err)
		}
		steps.step(-48 * time.Hour)
		accessToken(t, cache.ServiceAccount())
	})
}

func TestUnreadableRetryAfterIsNone(t *testing.T) {
	for _, header := range []string{"soon", "-1", "1.5", "", "Mon, 01 Jan 1990 00:00:00 GMT"} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.Fail(lookertest.Login, -1, lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {header}}})
			_, err := newCache(t, looker).ServiceAccount().Token()
			var failed *lookerauth.LoginError
			if !errors.As(err, &failed) || failed.RetryAfter != 0 {
				t.Errorf("%q: got %v", header, err)
			}
		})
	}
}

func TestHugeRetryAfterIsCapped(t *testing.T) {
	for _, header := range []string{"99999999999999999999", "9223372036854775807", "Mon, 01 Jan 2300 00:00:00 GMT"} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: 429, Header: http.Header{"Retry-After": {header}}})
			service := newCache(t, looker).ServiceAccount()
			_, err := service.Token()
			var failed *lookerauth.LoginError
			if !errors.As(err, &failed) || failed.RetryAfter != 24*time.Hour {
				t.Errorf("%q: got %v", header, err)
			}
			time.Sleep(24 * time.Hour)
			accessToken(t, service)
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

func TestNoErrorOrLogLineTellsASecret(t *testing.T) {
	const clientID, clientSecret = "id/with+signs", "s3cr&t/ key"
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetKey(clientID, clientSecret)
		var log bytes.Buffer
		var echo string // what Looker quotes in its error
		var brokenTransport bool
		var token string
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			base := recordToken(cfg.Transport, &token)
			cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
				if brokenTransport {
					body, _ := io.ReadAll(req.Body)
					return nil, fmt.Errorf("cannot send %s %s %v: %w", req.URL, body, req.Header, io.ErrUnexpectedEOF)
				}
				if echo == "" {
					return base.RoundTrip(req)
				}
				message, _ := json.Marshal(map[string]string{"message": echo})
				return respond(http.StatusBadRequest, nil, string(message)), nil
			})
		})
		service, user := cache.ServiceAccount(), cache.User("789")
		accessToken(t, user)
		key := []string{clientID, clientSecret, url.QueryEscape(clientID), url.QueryEscape(clientSecret), url.PathEscape(clientSecret)}
		secrets := append(key, accessToken(t, service), accessToken(t, user))

		var texts []string
		check := func(err error) {
			if err == nil {
				t.Error("no error")
				return
			}
			texts = append(texts, fmt.Sprintf("%v %+v %#v %q", err, err, err, err), string(must(json.Marshal(err))))
		}
		fail := func() {
			time.Sleep(time.Hour)
			for _, source := range []*lookerauth.TokenSource{user, service} {
				_, err := source.Token()
				check(err)
			}
		}
		for _, value := range []any{cache, user, *user.Transport(nil), cache.Transport(nil)} {
			texts = append(texts, fmt.Sprintf("%v %+v %#v %x", value, value, value, value), string(must(json.Marshal(value))))
		}
		echo = accessToken(t, service) + " is no admin's"
		_, err := cache.User("790").Token()
		check(err)
		if !strings.Contains(err.Error(), "[secret] is no admin's") {
			t.Errorf("Looker's message is missing: %v", err)
		}
		echo = strings.Repeat("x", 195) + " " + strings.Join(key, " ")
		fail()
		echo = strings.Join(key, " ")
		fail()
		brokenTransport = true
		fail()
		brokenTransport, echo = false, ""
		time.Sleep(time.Minute) // the hold-down
		accessToken(t, user)
		secrets = append(secrets, accessToken(t, service), accessToken(t, user))
		brokenTransport = true
		if err := user.Logout(t.Context()); err == nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want the transport's error", err)
		} else {
			check(err)
		}
		check(cache.Close(t.Context()))

		for _, text := range append(texts, log.String()) {
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("%q is in %s", secret, text)
				}
			}
		}
		if !strings.Contains(log.String(), "login failed") {
			t.Error("nothing was logged")
		}
	})
}

func TestLoginErrorReadsAsASentence(t *testing.T) {
	for want, err := range map[string]*lookerauth.LoginError{
		`lookerauth: login_user 789: looker answered 404 ("Not found"): ` + lookerauth.ErrUserNotFound.Error(): {
			Op: "login_user", UserID: "789", StatusCode: 404, Message: "Not found", Err: lookerauth.ErrUserNotFound,
		},
		`lookerauth: login_user "a\nb": looker answered 429, retry after 1m0s: ` + lookerauth.ErrRateLimited.Error(): {
			Op: "login_user", UserID: "a\nb", StatusCode: 429, RetryAfter: time.Minute, Err: lookerauth.ErrRateLimited,
		},
		`lookerauth: login: looker answered 400 (invalid)`: {Op: "login", StatusCode: 400, Message: "invalid"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestLongMessageIsCutBetweenCharacters(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		message := "x" + strings.Repeat("ü", 200)
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: 400, Body: `{"message":"` + message + `"}`})
		_, err := newCache(t, looker).ServiceAccount().Token()
		var failed *lookerauth.LoginError
		if !errors.As(err, &failed) || failed.Message != message[:199]+"…" {
			t.Errorf("got %v", err)
		}
	})
}
