package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestIdentityComesFromTheContext(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		client := &http.Client{Transport: newCache(t, looker).Transport(nil)}
		for want, ctx := range map[string]context.Context{
			"789":                       lookerauth.WithUser(t.Context(), "789"),
			"790":                       lookerauth.WithUser(lookerauth.WithServiceAccount(t.Context()), "790"),
			lookertest.ServiceAccountID: lookerauth.WithServiceAccount(lookerauth.WithUser(t.Context(), "789")),
		} {
			if got := whoAnswered(t, ctx, client, looker.URL+"/api/4.0/looks"); got != want {
				t.Errorf("answered as %q, want %q", got, want)
			}
		}
	})
}

func TestRequestWithoutIdentityIsRefused(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		client := &http.Client{Transport: newCache(t, looker).Transport(nil)}
		for ctx, want := range map[context.Context]error{
			t.Context():                          lookerauth.ErrNoIdentity,
			lookerauth.WithUser(t.Context(), ""): lookerauth.ErrInvalidUserID, // and not the service account
		} {
			body := &closeRecorder{Reader: strings.NewReader("body")}
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, looker.URL+"/api/4.0/looks", body)
			if _, err := client.Do(req); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			if !body.closed {
				t.Error("the body was not closed")
			}
		}
		if n := looker.Calls(lookertest.Request); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

func TestSourcesTransportIgnoresTheContextsIdentity(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		ctx := lookerauth.WithServiceAccount(t.Context())
		if got := whoAnswered(t, ctx, cache.User("789").Client(), looker.URL+"/api/4.0/looks"); got != "789" {
			t.Errorf("answered as %q", got)
		}
	})
}

type closeRecorder struct {
	io.Reader
	closed bool
}

func (r *closeRecorder) Close() error { r.closed = true; return nil }

func TestCallersRequestIsNotTouched(t *testing.T) {
	lowerCase := strings.ToLower("Authorization") // not what http.Header makes of it
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		header := http.Header{"Authorization": {"Basic mine"}, lowerCase: {"Basic lower"}, "X-Two": {"a", "b"}, "X-Nil": nil}
		req, _ := http.NewRequest(http.MethodPost, looker.URL+"/api/4.0/looks", strings.NewReader("hello"))
		req.Header = header.Clone()
		before := *req

		var sent http.Header
		base := roundTripper(func(r *http.Request) (*http.Response, error) {
			sent = r.Header.Clone()
			r.Header["X-Two"] = append(r.Header["X-Two"], "c")
			r.Header["X-Two"][0] = "changed"
			r.Header.Set("X-New", "new")
			return looker.Transport().RoundTrip(r)
		})
		resp, err := newCache(t, looker).User("789").Transport(base).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAnswer(t, resp); got.UserID != "789" || got.Body != "hello" {
			t.Errorf("answered %+v", got)
		}
		if !maps.EqualFunc(req.Header, header, func(a, b []string) bool {
			return strings.Join(a, "|") == strings.Join(b, "|") && (a == nil) == (b == nil)
		}) {
			t.Errorf("the caller's header became %v", req.Header)
		}
		if req.Body != before.Body || req.URL != before.URL || req.Context() != before.Context() {
			t.Error("the caller's request was changed")
		}
		if resp.Request != req {
			t.Error("the response's request is not the caller's")
		}
		if values := sent["Authorization"]; len(values) != 1 || !strings.HasPrefix(values[0], "token ") || sent[lowerCase] != nil {
			t.Errorf("Authorization was sent as %d values, and %v", len(values), sent[lowerCase])
		}
		if _, ok := sent["X-Nil"]; !ok {
			t.Error("a nil header was lost, which tells net/http not to set it")
		}
	})
}

func TestHeaderOfAnySizeIsSentWhole(t *testing.T) {
	for values := range 20 {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			req, _ := http.NewRequest(http.MethodGet, looker.URL, nil)
			for i := range values {
				req.Header.Add(fmt.Sprint("X-Half-", i/2), fmt.Sprint(i))
			}
			want := req.Header.Clone()
			base := roundTripper(func(r *http.Request) (*http.Response, error) {
				want.Set("Authorization", r.Header.Get("Authorization"))
				if !reflect.DeepEqual(r.Header, want) {
					t.Errorf("sent %v, want %v", r.Header, want)
				}
				for name := range r.Header {
					r.Header[name] = append(r.Header[name], "new") // must not end up in the next one
				}
				for name, values := range r.Header {
					if len(values) != len(want[name])+1 || values[0] != want[name][0] {
						t.Errorf("%s became %v", name, values)
					}
				}
				return respond(http.StatusOK, nil, ""), nil
			})
			if _, err := newCache(t, looker).User("789").Transport(base).RoundTrip(req); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRoundTripAllocatesThrice(t *testing.T) {
	looker := lookertest.NewInMemoryServer(nil)
	defer looker.Close()
	cache := newCache(t, looker, func(cfg *lookerauth.Config) { cfg.Transport = answerLogins() })
	answer := &http.Response{StatusCode: http.StatusOK}
	base := roundTripper(func(*http.Request) (*http.Response, error) { return answer, nil })
	req, _ := http.NewRequestWithContext(lookerauth.WithUser(t.Context(), "789"), http.MethodGet, looker.URL, nil)
	for i := range 4 {
		req.Header.Set(fmt.Sprint("X-", i), "value")
	}
	for name, transport := range map[string]*lookerauth.Transport{
		"a TokenSource's": cache.User("789").Transport(base),
		"a Cache's":       cache.Transport(base),
	} {
		// The request with room for the header's values, the header's map, and the one group of entries in that.
		if n := testing.AllocsPerRun(100, func() { must(transport.RoundTrip(req)) }); n > 3 {
			t.Errorf("%s Transport: %v allocations", name, n)
		}
	}
}

func TestTokenNeverReachesAnotherOrigin(t *testing.T) {
	for _, test := range []struct {
		base, request, host string
		ok                  bool
	}{
		{"https://looker.example", "https://looker.example/api/4.0/user", "", true},
		{"https://looker.example", "https://LOOKER.example:443/", "", true},
		{"https://looker.example:443", "HTTPS://looker.example", "", true},
		{"https://looker.example", "https://looker.example/a/../b", "", true}, // all of the origin is Looker's
		{"https://looker.example/", "https://looker.example/x", "", true},
		{"https://looker.example:19999", "https://looker.example:19999/", "", true},
		{"https://[::1]:19999", "https://[::1]:19999/", "", true},
		{"https://[::1]", "https://[::1]:443/", "", true},
		{"http://127.0.0.1", "http://127.0.0.1:80/", "", true},
		{"https://looker.example", "https://looker.example/", "LOOKER.example:443", true},
		{"https://looker.example/bi", "https://looker.example/bi", "", true},
		{"https://looker.example/bi/", "https://looker.example/bi/api/4.0/user", "", true},
		{"https://looker.example/bi", "https://looker.example/bi/a%2Fb/c%20d;e=..", "", true},

		{"https://looker.example/bi", "https://looker.example/bi/50%25", "", true},
		{"https://looker.example/bi", "https://looker.example/bi/%252g/x", "", true},

		{"https://looker.example", "http://looker.example/", "", false},
		{"https://looker.example/bi", "https://looker.example/bi/%25zz%252e%252e/%252e%252e/x", "", false},
		{"https://looker.example", "https://looker.example:8443/", "", false},
		{"https://looker.example:19999", "https://looker.example/", "", false},
		{"https://looker.example", "https://looker.example.evil.example/", "", false},
		{"https://looker.example", "https://evil.example/looker.example", "", false},
		{"https://looker.example", "https://looker.example@evil.example/", "", false},
		{"https://looker.example", "https://looker.example./", "", false},
		{"https://looker.example", "https://looker.example/", "evil.example", false},
		{"https://looker.example", "https:looker.example", "", false},
		{"https://looker.example/bi", "https://looker.example/", "", false},
		{"https://looker.example/bi", "https://looker.example/bi2/x", "", false},
		{"https://looker.example/bi", "https://looker.example/BI/x", "", false},
		{"https://looker.example/bi", "https://looker.example//bi/x", "", false},
		{"https://looker.example/bi", "https://looker.example/bi/../admin", "", false},
		{"https://looker.example/bi", "https://looker.example/bi/..", "", false},
		{"https://looker.example/bi", "https://looker.example/bi/./x", "", false},
		{"https://looker.example/bi", "https://looker.example/bi/%2e%2e/admin", "", false},
		{"https://looker.example/bi", "https://looker.example/bi/%252e%252E/admin", "", false},
		{"https://looker.example/bi", "https://looker.example/bi/%2e%2e%2fadmin", "", false},
		{"https://looker.example/bi", `https://looker.example/bi/..%5cadmin`, "", false},
		{"https://looker.example/bi", "https://looker.example/bi/..;x/admin", "", false},
		{"https://looker.example/bi", "https://looker.example/%62i/x", "", false},
	} {
		t.Run(test.base+" "+test.request+" "+test.host, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cache := newCache(t, looker, func(cfg *lookerauth.Config) {
					cfg.BaseURL = test.base
					cfg.Transport = answerLogins()
				})
				sent := false
				base := roundTripper(func(req *http.Request) (*http.Response, error) {
					sent = strings.HasPrefix(req.Header.Get("Authorization"), "token ")
					return respond(http.StatusOK, nil, ""), nil
				})
				req, err := http.NewRequest(http.MethodGet, test.request, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = test.host
				resp, err := cache.ServiceAccount().Transport(base).RoundTrip(req)
				if test.ok && (err != nil || resp == nil || !sent) || !test.ok && (!errors.Is(err, lookerauth.ErrForeignOrigin) || sent) {
					t.Errorf("got %v, token sent: %v", err, sent)
				}
			})
		})
	}
}

// answerLogins is a base that answers logins as Looker would, wherever they go, and knows no logout.
func answerLogins() http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodDelete {
			return respond(http.StatusNoContent, nil, ""), nil
		}
		return respond(http.StatusOK, nil, `{"access_token":"t","token_type":"Bearer","expires_in":3600}`), nil
	})
}

func TestOpaqueAndMissingURLsAreRefused(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		transport := newCache(t, looker).ServiceAccount().Transport(nil)
		base, _ := url.Parse(looker.URL)
		for _, u := range []*url.URL{nil, {Scheme: base.Scheme, Host: base.Host, Opaque: "//evil.example/x"}} {
			if _, err := transport.RoundTrip(&http.Request{URL: u}); !errors.Is(err, lookerauth.ErrForeignOrigin) {
				t.Errorf("%v: got %v", u, err)
			}
		}
	})
}

func TestRedirectElsewhereIsFollowedWithoutTheToken(t *testing.T) {
	looker := lookertest.NewServer(nil)
	defer looker.Close()
	var mu sync.Mutex
	var seen []string // guarded by mu
	var back string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Header.Get("Authorization"))
		mu.Unlock()
		if back != "" {
			http.Redirect(w, r, back, http.StatusTemporaryRedirect)
		}
	}))
	defer elsewhere.Close()
	client := newCache(t, looker).User("789").Client()

	redirect := lookertest.Fault{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {elsewhere.URL + "/x"}}}
	looker.Fail(lookertest.Request, 1, redirect)
	req, _ := http.NewRequest(http.MethodGet, looker.URL+"/api/4.0/looks", nil)
	req.Header.Set("Authorization", "token of the caller's")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || len(seen) != 1 || seen[0] != "" {
		t.Errorf("%s; elsewhere saw Authorization %q", resp.Status, seen)
	}

	// Whoever redirects back to Looker does not choose what the token is used for.
	back = looker.URL + "/api/4.0/looks/1"
	looker.Fail(lookertest.Request, 1, redirect)
	resp, err = client.Get(looker.URL + "/api/4.0/looks")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the way back was answered %s, want the 401 of a request without a token", resp.Status)
	}

	// A redirect within Looker keeps it.
	looker.Fail(lookertest.Request, 1, lookertest.Fault{Status: http.StatusFound, Header: http.Header{"Location": {"/api/4.0/other"}}})
	resp, err = client.Get(looker.URL + "/api/4.0/looks")
	if err != nil {
		t.Fatal(err)
	}
	if got := readAnswer(t, resp); got.UserID != "789" || got.Path != "/other" {
		t.Errorf("after a redirect within Looker: %+v", got)
	}
}

func TestTokenIsNotSentAgainOnceARedirectLedAway(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		next := map[string]string{
			looker.URL + "/1":            "https://elsewhere.example/",
			"https://elsewhere.example/": looker.URL + "/2",
			looker.URL + "/2":            looker.URL + "/3", // Looker's own redirect, on a way that somebody else chose
		}
		var authorized []string
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("Authorization") != "" {
				authorized = append(authorized, req.URL.Path)
			}
			if to := next[req.URL.String()]; to != "" {
				return respond(http.StatusTemporaryRedirect, http.Header{"Location": {to}}, ""), nil
			}
			return respond(http.StatusOK, nil, ""), nil
		})
		client := &http.Client{Transport: newCache(t, looker).User("789").Transport(base)}
		resp, err := client.Get(looker.URL + "/1")
		if err != nil || resp.Request.URL.Path != "/3" {
			t.Errorf("got %v, %v", resp, err)
		}
		if len(authorized) != 1 || authorized[0] != "/1" {
			t.Errorf("the token was sent to %v, want /1 alone", authorized)
		}
	})
}

func TestRevokedTokenIsReplacedByOneLogin(t *testing.T) {
	looker := lookertest.NewServer(nil)
	defer looker.Close()
	cache := newCache(t, looker)
	user := cache.User("789")
	accessToken(t, user)
	looker.Revoke("789")

	client := user.Client()
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			resp, err := client.Post(looker.URL+"/api/4.0/looks", "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Error(err)
				return
			}
			if got := readAnswer(t, resp); got.UserID != "789" || got.Body != "hello" {
				t.Errorf("answered %+v", got)
			}
		})
	}
	wg.Wait()
	checkCalls(t, looker, 1, 2)
	stats := cache.Stats()
	if stats.Rejections != 1 || stats.Replays == 0 {
		t.Errorf("%+v", stats)
	}
}

func TestBodyThatCannotBeSentAgainGetsThe401(t *testing.T) {
	broken := func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	for name, getBody := range map[string]func() (io.ReadCloser, error){"no GetBody": nil, "broken GetBody": broken} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				user := newCache(t, looker).User("789")
				accessToken(t, user)
				looker.Revoke("789")
				post := func() *http.Response {
					body := &closeRecorder{Reader: strings.NewReader("hello")}
					req, _ := http.NewRequest(http.MethodPost, looker.URL+"/api/4.0/looks", body)
					req.GetBody = getBody
					resp, err := user.Client().Do(req)
					if err != nil {
						t.Fatal(err)
					}
					if !body.closed {
						t.Error("the body was not closed")
					}
					return resp
				}
				resp := post()
				defer resp.Body.Close()
				if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 401 || !strings.Contains(string(text), "Requires authentication.") {
					t.Errorf("%s: %s, %v", resp.Status, text, err)
				}
				if got := readAnswer(t, post()); got.UserID != "789" || got.Body != "hello" {
					t.Errorf("the next request was answered %+v", got)
				}
				checkCalls(t, looker, 1, 2)
			})
		})
	}
}

func TestEndpointThatAlwaysAnswers401CausesNoStorm(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		looker.Fail(lookertest.Request, -1, lookertest.Fault{Status: http.StatusUnauthorized})
		client := user.Client()
		post := func() {
			resp, err := client.Post(looker.URL+"/api/4.0/looks", "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusUnauthorized || len(text) == 0 {
				t.Errorf("%s: %s", resp.Status, text)
			}
		}
		for range 100 {
			post()
			time.Sleep(10*time.Second/100 - time.Microsecond) // the last one comes just before the 10 seconds are over
		}
		post()
		checkCalls(t, looker, 1, 2)
		if n := looker.Calls(lookertest.Request); n != 102 {
			t.Errorf("101 requests were sent as %d, want one of them twice", n)
		}
		time.Sleep(time.Millisecond)
		post()
		checkCalls(t, looker, 1, 3)
	})
}

// Another process replaces the token again and again while the request is under way.
func TestRequestIsSentThreeTimesAtMost(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user, other := newCache(t, looker, withStore(store)).User("789"), newCache(t, looker, withStore(store)).User("789")
		sent := make(map[string]bool)
		client := &http.Client{Transport: user.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
			sent[req.Header.Get("Authorization")] = true
			time.Sleep(10 * time.Second)
			other.Invalidate(must(other.Token()))
			accessToken(t, other)
			return respond(http.StatusUnauthorized, nil, ""), nil
		}))}
		resp, err := client.Get(looker.URL + "/api/4.0/looks")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || len(sent) != 3 {
			t.Errorf("sent with %d tokens, and answered %s", len(sent), resp.Status)
		}
	})
}

func TestReplayClosesThe401sBody(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		body := &closeRecorder{Reader: strings.NewReader("Requires authentication.")}
		answers := []*http.Response{{StatusCode: http.StatusUnauthorized, Body: body}, respond(http.StatusOK, nil, "")}
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			defer func() { answers = answers[1:] }()
			return answers[0], nil
		})
		req, _ := http.NewRequest(http.MethodGet, looker.URL, nil)
		resp, err := newCache(t, looker).User("789").Transport(base).RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("got %v, %v", resp, err)
		}
		if !body.closed {
			t.Error("the body of the 401 was not closed")
		}
	})
}

func TestFailedReplacementGivesThe401(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		looker.Revoke("789")
		looker.Fail(lookertest.LoginUser, -1, lookertest.Fault{Status: http.StatusForbidden})
		resp, err := user.Client().Post(looker.URL+"/api/4.0/looks", "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %s", resp.Status)
		}
		if _, err := user.Client().Get(looker.URL + "/api/4.0/looks"); !errors.Is(err, lookerauth.ErrForbidden) {
			t.Errorf("the next request: %v", err)
		}
	})
}

func TestSloppyBaseDoesNoHarm(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		for _, answer := range []*http.Response{nil, {StatusCode: http.StatusUnauthorized}} {
			base := roundTripper(func(*http.Request) (*http.Response, error) { return answer, nil })
			req, _ := http.NewRequest(http.MethodGet, looker.URL, nil)
			if resp, err := user.Transport(base).RoundTrip(req); resp != answer || err != nil {
				t.Errorf("got %v, %v", resp, err)
			}
		}
	})
}

func TestBasesErrorIsTheCallers(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		broken := errors.New("broken")
		base := roundTripper(func(*http.Request) (*http.Response, error) { return nil, broken })
		req, _ := http.NewRequest(http.MethodGet, looker.URL, nil)
		if _, err := newCache(t, looker).User("789").Transport(base).RoundTrip(req); err != broken {
			t.Errorf("got %v", err)
		}
	})
}

type idler struct {
	http.RoundTripper
	closed int
}

func (i *idler) CloseIdleConnections() { i.closed++ }

func TestIdleConnectionsOfTheBaseAreClosed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		base := &idler{}
		(&http.Client{Transport: cache.Transport(base)}).CloseIdleConnections()
		cache.Transport(roundTripper(nil)).CloseIdleConnections() // cannot, and that is fine
		if base.closed != 1 {
			t.Errorf("closed %d times", base.closed)
		}
	})
}

func TestResponseTellsNoToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		token := accessToken(t, user)
		resp, err := user.Client().Get(looker.URL + "/api/4.0/looks")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		for name, values := range resp.Request.Header {
			if strings.Contains(strings.Join(values, " "), token) {
				t.Errorf("the response's request has the token in %s", name)
			}
		}
		synctest.Wait()
	})
}
