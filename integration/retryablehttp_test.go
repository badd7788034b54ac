package integration

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/lookerauth/lookerauth/lookertest"
)

// unwell is what a Looker answers that restarts for an upgrade.
var unwell = lookertest.Fault{Status: http.StatusServiceUnavailable}

// unwellForLong asks for a pause in which every token expires.
var unwellForLong = lookertest.Fault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"7200"}}}

// newRetrying returns a retrying client that prints nothing.
func newRetrying(client *http.Client) *retryablehttp.Client {
	retrying := retryablehttp.NewClient()
	retrying.HTTPClient = client
	retrying.Logger = nil
	return retrying
}

func TestRetryingClientAboveTheTransport(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		cache := newCache(t, fake.Config())
		fake.Fail(lookertest.Request, 2, unwell)

		retrying := retryablehttp.NewClient()
		retrying.HTTPClient = cache.User("789").Client()

		resp, err := retrying.Post(fake.URL+"/api/4.0/queries", "application/json", []byte(`{"model":"m"}`))
		check(t, resp, err, answer{UserID: "789", Body: `{"model":"m"}`})
		checkLogins(t, fake, 1)
	})
}

func TestRetryAboveTheTransportHasALiveToken(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		cache := newCache(t, fake.Config())
		retrying := newRetrying(cache.User("789").Client())
		fake.Fail(lookertest.Request, 1, unwellForLong)

		resp, err := retrying.Get(fake.URL + "/api/4.0/looks/1")

		check(t, resp, err, answer{UserID: "789"})
		checkLogins(t, fake, 2)
		checkReplays(t, cache, 0)
	})
}

func TestRevokedTokenBelowARetryingClientIsReplacedOnce(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		cache := newCache(t, fake.Config())
		retrying := newRetrying(cache.User("789").Client())
		resp, err := retrying.Get(fake.URL + "/api/4.0/looks/1")
		check(t, resp, err, answer{UserID: "789"})

		fake.Revoke("789")
		resp, err = retrying.Post(fake.URL+"/api/4.0/queries", "application/json", []byte(`{"model":"m"}`))

		check(t, resp, err, answer{UserID: "789", Body: `{"model":"m"}`})
		checkLogins(t, fake, 2)
		checkReplays(t, cache, 1)
	})
}

// retryablehttp retries every error. A login that was refused is held down meanwhile, so that those retries make no calls.
func TestRetriesOfARefusedLoginMakeNoCalls(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		cache := newCache(t, fake.Config())
		retrying := newRetrying(cache.User("789").Client())
		fake.SetAdmin(false)

		if _, err := retrying.Get(fake.URL + "/api/4.0/looks/1"); err == nil {
			t.Error("a refused login is no error")
		}

		checkLogins(t, fake, 1)
	})
}

func TestRetryingClientBelowTheTransport(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		cache := newCache(t, fake.Config())
		fake.Fail(lookertest.Request, 2, unwell)

		retrying := retryablehttp.NewClient()
		retrying.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		client := &http.Client{Transport: cache.User("789").Transport(&retryablehttp.RoundTripper{Client: retrying})}

		retrying.HTTPClient.Transport = fake.Transport()
		resp, err := client.Post(fake.URL+"/api/4.0/queries", "application/json", strings.NewReader(`{"model":"m"}`))
		check(t, resp, err, answer{UserID: "789", Body: `{"model":"m"}`})
		checkLogins(t, fake, 1)
	})
}

// doNotFollow leaves redirects to the client above the Transport.
func doNotFollow(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// A retry below the Transport has the token of the first try. If that has died meanwhile, the 401 replaces it.
func TestRetryBelowTheTransportWithADeadTokenIsReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		cache := newCache(t, fake.Config())
		retrying := newRetrying(&http.Client{Transport: fake.Transport(), CheckRedirect: doNotFollow})
		client := &http.Client{Transport: cache.User("789").Transport(&retryablehttp.RoundTripper{Client: retrying})}
		fake.Fail(lookertest.Request, 1, unwellForLong)

		resp, err := client.Post(fake.URL+"/api/4.0/queries", "application/json", strings.NewReader(`{"model":"m"}`))

		check(t, resp, err, answer{UserID: "789", Body: `{"model":"m"}`})
		checkLogins(t, fake, 2)
		checkReplays(t, cache, 1)
	})
}

// redirections are the ways in which a retrying client may treat redirects.
var redirections = map[string]struct {
	checkRedirect func(*http.Request, []*http.Request) error
	follows       bool
}{
	"as it comes":                       {nil, true},
	"with redirects left to the caller": {doNotFollow, false},
}

// startElsewhere starts a server of another origin, which puts what secret finds in its last request into seen.
func startElsewhere(t *testing.T, secret func(*http.Request) string) (url string, seen *string) {
	t.Helper()
	seen = new(string)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { *seen = secret(r) }))
	t.Cleanup(elsewhere.Close)
	return elsewhere.URL, seen
}

// A client below the Transport follows redirects itself, with the token: net/http takes another port of the same host, and
// every subdomain, for the same site. That is why CheckRedirect must forbid it.
func TestRetryingClientBelowTheTransportMustNotFollowRedirects(t *testing.T) {
	for name, test := range redirections {
		t.Run(name, func(t *testing.T) {
			fake := startFake(t, nil)
			elsewhere, token := startElsewhere(t, func(r *http.Request) string { return r.Header.Get("Authorization") })
			fake.Fail(lookertest.Request, 1, lookertest.Fault{
				Status: http.StatusFound, Header: http.Header{"Location": {elsewhere}},
			})
			cache := newCache(t, fake.Config())
			retrying := newRetrying(&http.Client{Transport: fake.Transport(), CheckRedirect: test.checkRedirect})
			client := &http.Client{Transport: cache.User("789").Transport(&retryablehttp.RoundTripper{Client: retrying})}

			resp, err := client.Get(fake.URL + "/api/4.0/looks/1")

			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if left := *token != ""; left != test.follows {
				t.Errorf("the token left for another origin: %v, want %v", left, test.follows)
			}
		})
	}
}

// The Config's Transport carries the API key. A client in its place sends that wherever a 307 leads.
func TestRetryingClientThatCarriesLoginsMustNotFollowRedirects(t *testing.T) {
	for name, test := range redirections {
		t.Run(name, func(t *testing.T) {
			fake := startFake(t, nil)
			elsewhere, key := startElsewhere(t, func(r *http.Request) string { return r.PostFormValue("client_secret") })
			fake.Fail(lookertest.Login, 1, lookertest.Fault{
				Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {elsewhere}},
			})
			cfg := fake.Config()
			cfg.Transport = &retryablehttp.RoundTripper{
				Client: newRetrying(&http.Client{Transport: fake.Transport(), CheckRedirect: test.checkRedirect}),
			}

			_, err := newCache(t, cfg).User("789").TokenContext(t.Context())

			if err == nil {
				t.Error("a redirected login is no error")
			}
			if left := *key != ""; left != test.follows {
				t.Errorf("the key left for another origin: %v, want %v", left, test.follows)
			}
		})
	}
}
