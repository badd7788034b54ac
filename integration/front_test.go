package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// protocols are those that a front speaks, and whether that is HTTP/2.
var protocols = map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true}

// userHeader tells the endpoint of a front whose token a request has.
const userHeader = "Looker-User"

// front is a server that has an endpoint of its own beside the API of a fake Looker. The endpoint
// gets the requests whose token is alive. Others are answered with 401 before they have been read.
// Over HTTP/1.1 they are read afterwards.
type front struct {
	*httptest.Server
	fake     *lookertest.Server
	rejected func() // called between a 401 and the reading, if it is not nil
}

// startFront starts a front that ends with the test.
func startFront(t *testing.T, http2 bool, endpoint http.Handler) *front {
	t.Helper()
	f := newFront(t, endpoint)
	f.start(t, http2)
	return f
}

// newFront returns a front whose server may be changed before it starts.
func newFront(t *testing.T, endpoint http.Handler) *front {
	t.Helper()
	f := &front{fake: startFake(t, nil)}
	target, err := url.Parse(f.fake.URL)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: f.fake.Transport(),
	})
	mux.Handle("/", f.authorized(t, endpoint))
	f.Server = httptest.NewUnstartedServer(mux)
	return f
}

func (f *front) start(t *testing.T, http2 bool) {
	t.Helper()
	if f.EnableHTTP2 = http2; http2 {
		f.StartTLS()
	} else {
		f.Start()
	}
	t.Cleanup(f.Close)
	f.base().MaxIdleConnsPerHost = 100
}

// authorized passes only requests with a live token on.
func (f *front) authorized(t *testing.T, endpoint http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 { // HTTP/2 is always so
			_ = http.NewResponseController(w).EnableFullDuplex()
		}
		userID, err := f.userOf(r)
		if err != nil {
			t.Error(err)
		}
		if userID != "" {
			r.Header.Set(userHeader, userID)
			endpoint.ServeHTTP(w, r)
			return
		}
		const message = "Requires authentication."
		w.Header().Set("Content-Length", strconv.Itoa(len(message))) // the end of the answer
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, message)
		if r.ProtoMajor == 1 { // HTTP/2 tells the client to stop
			_ = http.NewResponseController(w).Flush()
			if f.rejected != nil {
				f.rejected()
			}
			_, _ = io.Copy(io.Discard, r.Body)
		}
	})
}

// userOf returns whose token the request has; "" if that is nobody's.
func (f *front) userOf(r *http.Request) (string, error) {
	target := f.fake.URL + "/api/4.0/whose"
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, target, nil)
	if err != nil {
		return "", err
	}
	ask.Header["Authorization"] = r.Header["Authorization"]
	resp, err := f.fake.Client().Do(ask)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		return "", nil
	}
	var whose answer
	err = json.NewDecoder(resp.Body).Decode(&whose)
	return whose.UserID, err
}

// base returns what reaches the front and trusts its certificate. It is the same one each time.
func (f *front) base() *http.Transport { return f.Client().Transport.(*http.Transport) }

// config returns a Config whose Looker is the front.
func (f *front) config() lookerauth.Config {
	cfg := f.fake.Config()
	cfg.BaseURL, cfg.Transport = f.URL, f.base()
	return cfg
}
