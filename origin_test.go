package lookerauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestTokenNeverReachesAnotherOrigin(t *testing.T) {
	const root, prefixed = "https://looker.example", "https://looker.example/bi"
	for _, test := range []struct {
		base, request, host string
		ok                  bool
	}{
		{root, "https://looker.example/api/4.0/user", "", true},
		{root, "https://LOOKER.example:443/", "", true},
		{"https://looker.example:443", "HTTPS://looker.example", "", true},
		{root, "https://looker.example/a/../b", "", true}, // all of the origin is Looker's
		{"https://looker.example/", "https://looker.example/x", "", true},
		{"https://looker.mybiz.example", "https://LOOKER.MyBiz.example/", "", true},
		{"https://looker.mybiz.example", "https://looker.mybİz.example/", "", false},
		{"https://looker.example", "https://loo\u212aer.example/", "", false}, // the Kelvin sign
		{"https://looker.example", "https://looker.example/x", "loo\u212aer.example", false},
		{"https://looker.example:19999", "https://looker.example:19999/", "", true},
		{"https://[::1]:19999", "https://[::1]:19999/", "", true},
		{"https://[::1]", "https://[::1]:443/", "", true},
		{"http://127.0.0.1", "http://127.0.0.1:80/", "", true},
		{root, "https://looker.example/", "LOOKER.example:443", true},
		{prefixed, "https://looker.example/bi", "", true},
		{"https://looker.example/bi/", "https://looker.example/bi/api/4.0/user", "", true},
		{prefixed, "https://looker.example/bi/a%2Fb/c%20d;e=..", "", true},

		{prefixed, "https://looker.example/bi/50%25", "", true},
		{prefixed, "https://looker.example/bi/%252g/x", "", true},
		{prefixed, "https://looker.example/bi/J%C3%B6rg%20%F0%9F%99%82/100%25", "", true},

		{root, "http://looker.example/", "", false},
		{prefixed, "https://looker.example/bi/%25zz%252e%252e/%252e%252e/x", "", false},
		{root, "https://looker.example:8443/", "", false},
		{"https://looker.example:19999", "https://looker.example/", "", false},
		{root, "https://looker.example.evil.example/", "", false},
		{root, "https://evil.example/looker.example", "", false},
		{root, "https://looker.example@evil.example/", "", false},
		{root, "https://looker.example./", "", false},
		{root, "https://looker.example/", "evil.example", false},
		{root, "https:looker.example", "", false},
		{prefixed, "https://looker.example/", "", false},
		{prefixed, "https://looker.example/bi2/x", "", false},
		{prefixed, "https://looker.example/BI/x", "", false},
		{prefixed, "https://looker.example//bi/x", "", false},
		{prefixed, "https://looker.example/bi/../admin", "", false},
		{prefixed, "https://looker.example/bi/..", "", false},
		{prefixed, "https://looker.example/bi/./x", "", false},
		{prefixed, "https://looker.example/bi/%2e%2e/admin", "", false},
		{prefixed, "https://looker.example/bi/%252e%252E/admin", "", false},
		{prefixed, "https://looker.example/bi/%2e%2e%2fadmin", "", false},
		{prefixed, `https://looker.example/bi/..%5cadmin`, "", false},
		{prefixed, "https://looker.example/bi/..;x/admin", "", false},
		{prefixed, "https://looker.example/bi/..%00/admin", "", false},
		{prefixed, "https://looker.example/bi/%c0%ae%c0%ae/admin", "", false},
		{prefixed, "https://looker.example/%62i/x", "", false},
	} {
		t.Run(test.base+" "+test.request+" "+test.host, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				elsewhere := withBaseURL(test.base)
				cache := newCache(t, looker, elsewhere, withTransport(answerLogins()))
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
				if sent != test.ok {
					t.Errorf("the token was sent: %v", sent)
				}
				if !test.ok {
					checkError(t, err, lookerauth.ErrForeignOrigin)
				} else if err != nil || resp == nil {
					t.Errorf("got %v, %v", resp, err)
				}
			})
		})
	}
}

// A reverse proxy with a Director passes the Host header on that its own caller sent.
func TestForeignHostHeaderIsNamed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		target := must(url.Parse(looker.URL))
		var failed error
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.Transport = newCache(t, looker).User("789").Transport(nil)
		proxy.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) {
			failed = err
		}
		visit := httptest.NewRequest(http.MethodGet, "http://www.example"+looks, nil)
		proxy.ServeHTTP(httptest.NewRecorder(), visit)
		checkError(t, failed, lookerauth.ErrForeignOrigin)
		checkSentence(t, failed, "the request leads away from the base URL, and was not sent: "+
			`its Host header is "www.example", which a server may go by: set Request.Host to "" `+
			"(httputil.ReverseProxy keeps the caller's, unless it has Rewrite with SetURL)")
		checkCalls(t, looker, 0, 0)

		// As the error says.
		proxy = &httputil.ReverseProxy{
			Transport: proxy.Transport,
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		}
		answer := httptest.NewRecorder()
		proxy.ServeHTTP(answer, visit)
		if answer.Code != http.StatusOK {
			t.Errorf("got %d", answer.Code)
		}
	})
}

func TestForeignPathIsExplained(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, withBaseURL(looker.URL+"/bi"))
		for _, path := range []string{"/", "/bi/../x", "/bi/%252e%2500/x"} {
			req := must(http.NewRequest(http.MethodGet, looker.URL+path, nil))
			_, err := cache.User("789").Transport(nil).RoundTrip(req)
			checkSentence(t, err, "the request leads away from the base URL, and was not sent: "+
				"its path is not plainly below the base URL's: begin it with that and a slash, "+
				"without . and .. as segments, and encode it once")
		}
	})
}

func TestURLsThatDoNotEndAtTheHostAreRefused(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		transport := newCache(t, looker).ServiceAccount().Transport(nil)
		base, _ := url.Parse(looker.URL)
		opaque := &url.URL{Scheme: base.Scheme, Host: base.Host, Opaque: "//evil.example/x"}
		path := &url.URL{Scheme: base.Scheme, Host: base.Host, Path: "@evil.example/x"}
		raw := &url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/x", RawPath: "%2Fx"}
		for _, u := range []*url.URL{nil, opaque, path, raw} {
			_, err := transport.RoundTrip(&http.Request{URL: u})
			checkError(t, err, lookerauth.ErrForeignOrigin)
		}
	})
}

func TestRedirectElsewhereIsFollowedWithoutTheToken(t *testing.T) {
	looker := lookertest.New(t)
	var mu sync.Mutex
	var seen []string // guarded by mu
	var back string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, fmt.Sprintf("%q", r.Header["Authorization"]))
		mu.Unlock()
		if back != "" {
			http.Redirect(w, r, back, http.StatusTemporaryRedirect)
		}
	}))
	defer elsewhere.Close()
	client := newCache(t, looker).User("789").Client()

	redirect := redirected(http.StatusTemporaryRedirect, elsewhere.URL+"/x")
	looker.FailNext(lookertest.OpAPI, redirect)
	req, _ := http.NewRequest(http.MethodGet, looker.URL+looks, nil)
	req.Header.Set("Authorization", "token of the caller's")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || len(seen) != 1 || seen[0] != "[]" {
		t.Errorf("%s; elsewhere saw Authorization %q", resp.Status, seen)
	}

	// Whoever redirects back to Looker does not choose what the token is used for.
	back = looker.URL + looks + "/1"
	looker.FailNext(lookertest.OpAPI, redirect)
	if status := statusOf(t, client, looker.URL+looks); status != http.StatusUnauthorized {
		t.Errorf("the way back was answered %d, want the 401 of a request without a token", status)
	}

	// A redirect within Looker keeps it.
	looker.FailNext(lookertest.OpAPI, redirected(http.StatusFound, "/api/4.0/other"))
	resp, err = client.Get(looker.URL + looks)
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
			looker.URL + "/2":            looker.URL + "/3", // Looker's own, on another's way
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

// Its requests and responses point at each other then.
func TestBaseThatRepeatsOneRedirectIsLeft(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		again := respond(http.StatusFound, http.Header{"Location": {looker.URL + looks}}, "")
		base := roundTripper(func(*http.Request) (*http.Response, error) { return again, nil })
		client := &http.Client{Transport: newCache(t, looker).User("789").Transport(base)}
		if resp, err := client.Get(looker.URL + looks); err == nil {
			t.Errorf("got %v, want an end", resp.Status)
		}
	})
}
