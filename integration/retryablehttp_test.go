package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/lookerauth/lookerauth/lookertest"
)

// unwell is what a Looker answers that restarts for an upgrade.
var unwell = lookertest.Fault{Status: http.StatusServiceUnavailable}

// unwellForLong asks for a pause in which every token expires.
var unwellForLong = lookertest.Fault{
	Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"7200"}},
}

// query is the body of the requests that have one.
const query = `{"model":"m"}`

// newRetrying returns a retrying client that prints nothing.
func newRetrying(client *http.Client) *retryablehttp.Client {
	retrying := retryablehttp.NewClient()
	retrying.HTTPClient = client
	retrying.Logger = nil
	return retrying
}

// checkRedirect is the CheckRedirect of an http.Client.
type checkRedirect func(*http.Request, []*http.Request) error

// doNotFollow leaves redirects to the client above the Transport.
func doNotFollow(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// newRetryingBase returns a retrying client for a Transport of lookerauth to stand on.
func newRetryingBase(fake *lookertest.Server, check checkRedirect) *retryablehttp.RoundTripper {
	client := &http.Client{Transport: fake.Transport(), CheckRedirect: check}
	return &retryablehttp.RoundTripper{Client: newRetrying(client)}
}

// postQuery sends a request with the query as its body.
func postQuery(client *http.Client, fake *lookertest.Server) (*http.Response, error) {
	url := fake.URL + "/api/4.0/queries"
	return client.Post(url, "application/json", strings.NewReader(query))
}

func TestRetryingClientAboveTheTransport(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		cache := newCache(t, fake.Config())
		fake.FailNext(lookertest.OpAPI, unwell, unwell)

		retrying := retryablehttp.NewClient()
		retrying.HTTPClient = cache.User("789").Client()

		resp, err := retrying.Post(fake.URL+"/api/4.0/queries", "application/json", []byte(query))
		check(t, resp, err, answer{UserID: "789", Body: query})
		checkLogins(t, fake, 1)
	})
}

func TestRetryAboveTheTransportHasALiveToken(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		cache := newCache(t, fake.Config())
		retrying := newRetrying(cache.User("789").Client())
		fake.FailNext(lookertest.OpAPI, unwellForLong)

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
		resp, err = retrying.Post(fake.URL+"/api/4.0/queries", "application/json", []byte(query))

		check(t, resp, err, answer{UserID: "789", Body: query})
		checkLogins(t, fake, 2)
		checkReplays(t, cache, 1)
	})
}

// retryablehttp retries every error. A login that was refused is held down meanwhile, so that those
// retries make no calls.
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
		fake.FailNext(lookertest.OpAPI, unwell, unwell)

		base := newRetryingBase(fake, doNotFollow)
		client := &http.Client{Transport: cache.User("789").Transport(base)}

		resp, err := postQuery(client, fake)
		check(t, resp, err, answer{UserID: "789", Body: query})
		checkLogins(t, fake, 1)
	})
}

// A retry below the Transport has the token of the first try. If that has expired meanwhile, it is
// replaced after the 401.
func TestRetryBelowTheTransportWithADeadTokenIsReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		cache := newCache(t, fake.Config())
		base := newRetryingBase(fake, doNotFollow)
		client := &http.Client{Transport: cache.User("789").Transport(base)}
		fake.FailNext(lookertest.OpAPI, unwellForLong)

		resp, err := postQuery(client, fake)

		check(t, resp, err, answer{UserID: "789", Body: query})
		checkLogins(t, fake, 2)
		checkReplays(t, cache, 1)
	})
}

// Looker may answer 401 while net/http still reads the file, which retryablehttp seeks back then.
func TestUploadsOfOneFileAreWholeAfterRevocations(t *testing.T) {
	const uploads, size = 20, 8 << 20
	text := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(text)
	path := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	want := hashOf(string(text))
	for proto, http2 := range protocols {
		t.Run(proto, func(t *testing.T) {
			f := newFront(t, http.HandlerFunc(answerHash))
			// Most of the file is unsent while the login is answered.
			logins := make(chan bool, 2*uploads)
			f.fake.FailFunc(func(call lookertest.Request) lookertest.Fault {
				if call.Op == lookertest.OpLoginUser {
					logins <- true
				}
				return lookertest.Fault{}
			})
			f.rejected = func() { <-logins }
			f.start(t, http2)
			cache := newCache(t, f.config())
			retrying := newRetrying(cache.User("789").Client())
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if _, err := cache.User("789").Token(); err != nil {
				t.Fatal(err)
			}
			<-logins
			for range uploads {
				f.fake.Revoke("789")
				resp, err := retrying.Post(f.URL+"/uploads", "application/octet-stream", file)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK || string(got) != want {
					t.Errorf("got %s %q, %v, want %q", resp.Status, got, err, want)
				}
			}
			checkReplays(t, cache, uploads)
		})
	}
}

// answerHash answers the hash of what was uploaded.
func answerHash(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	_, _ = io.Copy(hash, r.Body)
	_, _ = io.WriteString(w, hex.EncodeToString(hash.Sum(nil)))
}

// redirections are the ways in which a retrying client may treat redirects.
var redirections = map[string]struct {
	checkRedirect checkRedirect
	follows       bool
}{
	"as it comes":                       {nil, true},
	"with redirects left to the caller": {doNotFollow, false},
}

// startElsewhere starts a server of another origin. It puts what secret finds in its last request
// into seen.
func startElsewhere(t *testing.T, secret func(*http.Request) string) (url string, seen *string) {
	t.Helper()
	seen = new(string)
	see := func(_ http.ResponseWriter, r *http.Request) { *seen = secret(r) }
	elsewhere := httptest.NewServer(http.HandlerFunc(see))
	t.Cleanup(elsewhere.Close)
	return elsewhere.URL, seen
}

// A client below the Transport follows redirects itself, with the token: net/http takes another
// port of the same host, and every subdomain, for the same site. So CheckRedirect must forbid it.
func TestRetryingClientBelowTheTransportMustNotFollowRedirects(t *testing.T) {
	for name, test := range redirections {
		t.Run(name, func(t *testing.T) {
			fake := startFake(t, nil)
			elsewhere, token := startElsewhere(t, func(r *http.Request) string {
				return r.Header.Get("Authorization")
			})
			fake.FailNext(lookertest.OpAPI, lookertest.Fault{
				Status: http.StatusFound, Header: http.Header{"Location": {elsewhere}},
			})
			cache := newCache(t, fake.Config())
			base := newRetryingBase(fake, test.checkRedirect)
			client := &http.Client{Transport: cache.User("789").Transport(base)}

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

// The Config's Transport carries the API key. A client in its place sends that wherever a 307
// leads.
func TestRetryingClientThatCarriesLoginsMustNotFollowRedirects(t *testing.T) {
	for name, test := range redirections {
		t.Run(name, func(t *testing.T) {
			fake := startFake(t, nil)
			elsewhere, key := startElsewhere(t, func(r *http.Request) string {
				return r.PostFormValue("client_secret")
			})
			fake.FailNext(lookertest.OpLogin, lookertest.Fault{
				Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {elsewhere}},
			})
			cfg := fake.Config()
			cfg.Transport = newRetryingBase(fake, test.checkRedirect)

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
