package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// userOf returns whose session a browser's request has, as a program of yours would know it.
func userOf(r *http.Request) string {
	session, err := r.Cookie("session")
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(session.Value, "of-")
}

// newReverseProxy returns a proxy whose requests are those of the browsers' users.
func newReverseProxy(t *testing.T, f *front) *httputil.ReverseProxy {
	t.Helper()
	cache := newCache(t, f.config())
	looker, err := url.Parse(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Transport: cache.Transport(nil),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(looker) // and with it the Host header
			r.SetXForwarded()
			r.Out.Header.Del("Cookie")
			r.Out = r.Out.WithContext(lookerauth.WithUser(r.Out.Context(), userOf(r.In)))
		},
	}
	return proxy
}

// browser is a client of a server that has a session of one user with that.
type browser struct {
	*httptest.Server
	userID string
}

// startBrowser starts a server with this handler, and returns a browser of user 789.
func startBrowser(t *testing.T, http2 bool, handler http.Handler) *browser {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	if server.EnableHTTP2 = http2; http2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return &browser{server, "789"}
}

// request returns a request of the browser's. Its Authorization is none of ours.
func (b *browser) request(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(&http.Cookie{Name: "session", Value: "of-" + b.userID})
	req.Header.Set("Authorization", "token of the browser's")
	return req
}

// get returns the status and the body of the answer to a GET.
func (b *browser) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	return b.do(t, b.request(t, http.MethodGet, path, nil))
}

func (b *browser) do(t *testing.T, req *http.Request) (status int, body string) {
	t.Helper()
	resp, err := b.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(text)
}

// whoami answers whose token a request has.
func whoami(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, r.Header.Get(userHeader))
}

// checkServed fails the test if the browser's requests are not its user's.
func (b *browser) checkServed(t *testing.T) {
	t.Helper()
	if status, body := b.get(t, "/whoami"); status != http.StatusOK || body != b.userID {
		t.Errorf("answered %d %q, want %q", status, body, b.userID)
	}
}

func TestReverseProxyActsAsEachBrowsersUser(t *testing.T) {
	f := startFront(t, false, http.HandlerFunc(whoami))
	b := startBrowser(t, false, newReverseProxy(t, f))
	for range 2 {
		for b.userID = range map[string]bool{"789": true, "790": true} {
			b.checkServed(t)
		}
		f.fake.RevokeAll()
	}
	b.userID = "" // which nobody can be
	before := len(f.fake.Requests())
	if status, body := b.get(t, "/whoami"); status != http.StatusBadGateway {
		t.Errorf("nobody was answered %d %q", status, body)
	}
	if calls := f.fake.Requests()[before:]; len(calls) != 0 {
		t.Errorf("calls for nobody: %+v", calls)
	}
}

func TestReverseProxyHasItsIdentityFromMiddleware(t *testing.T) {
	f := startFront(t, false, http.HandlerFunc(whoami))
	proxy := newReverseProxy(t, f)
	rewrite := proxy.Rewrite
	proxy.Rewrite = func(r *httputil.ProxyRequest) {
		in := r.Out.Context()
		rewrite(r)
		r.Out = r.Out.WithContext(in)
	}
	b := startBrowser(t, false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r.WithContext(lookerauth.WithUser(r.Context(), userOf(r))))
	}))
	b.checkServed(t)
}

// Lines go up and down in turn: each is through before the next is sent.
func TestReverseProxyStreamsBothWays(t *testing.T) {
	for proto, http2 := range protocols {
		t.Run(proto, func(t *testing.T) {
			f := startFront(t, http2, http.HandlerFunc(echoLines))
			proxy := newReverseProxy(t, f)
			b := startBrowser(t, http2, http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					if !http2 { // which does not wait for the request's end
						_ = http.NewResponseController(w).EnableFullDuplex()
					}
					proxy.ServeHTTP(w, r)
				}))
			up, sending := io.Pipe()
			resp, err := b.Client().Do(b.request(t, http.MethodPost, "/echo", up))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.Proto != proto {
				t.Fatalf("answered %s %s", resp.Proto, resp.Status)
			}
			checkEcho(t, sending, bufio.NewReader(resp.Body))
			sending.Close()
		})
	}
}

// echoLines answers each line as it comes, after a first one.
func echoLines(w http.ResponseWriter, r *http.Request) {
	answers := http.NewResponseController(w)
	_, _ = io.WriteString(w, r.Header.Get(userHeader)+"\n")
	_ = answers.Flush()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); _ = answers.Flush() {
		_, _ = io.WriteString(w, lines.Text()+"\n")
	}
}

// checkEcho fails the test if user 789 is not greeted, or lines do not come back one by one.
func checkEcho(t *testing.T, up io.Writer, down *bufio.Reader) {
	t.Helper()
	for _, line := range []string{"789\n", "one\n", "two\n", "three\n"} {
		if line != "789\n" {
			if _, err := io.WriteString(up, line); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := down.ReadString('\n'); err != nil || got != line {
			t.Fatalf("got %q, %v, want %q", got, err, line)
		}
	}
}

func TestReverseProxySwitchesProtocols(t *testing.T) {
	f := startFront(t, false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, r.Header.Get(userHeader)+"\n")
		_, _ = io.Copy(conn, both)
	}))
	b := startBrowser(t, false, newReverseProxy(t, f))
	for range 2 {
		req := b.request(t, http.MethodGet, "/echo", nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "lines")
		resp, err := b.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		conn, ok := resp.Body.(io.ReadWriteCloser)
		if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
			t.Fatalf("answered %s with a %T", resp.Status, resp.Body)
		}
		checkEcho(t, conn, bufio.NewReader(conn))
		conn.Close()
		f.fake.Revoke("789") // the next switch is asked for twice
	}
}

// seen is an endpoint that keeps the header of the last request, and the Host with it.
func seen(last *http.Header) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		*last = r.Header.Clone()
		last.Set("Host", r.Host)
	}
}

func TestReverseProxySaysForWhomItAsks(t *testing.T) {
	var last http.Header
	f := startFront(t, false, seen(&last))
	b := startBrowser(t, false, newReverseProxy(t, f))
	req := b.request(t, http.MethodGet, "/", nil)
	req.Header.Set("X-Forwarded-For", "192.0.2.1") // what a browser says is not believed
	if status, body := b.do(t, req); status != http.StatusOK {
		t.Fatalf("answered %d %s", status, body)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For":   "127.0.0.1",
		"X-Forwarded-Host":  strings.TrimPrefix(b.URL, "http://"),
		"X-Forwarded-Proto": "http",
		"Host":              strings.TrimPrefix(f.URL, "http://"),
	} {
		if got := last.Values(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// The Transport replaces the Authorization. All else goes to Looker as it is, so Rewrite has to
// take a browser's cookies out.
func TestReverseProxyKeepsABrowsersSecretsFromLooker(t *testing.T) {
	var last http.Header
	f := startFront(t, false, seen(&last))
	proxy := newReverseProxy(t, f)
	b := startBrowser(t, false, proxy)
	for _, revoked := range []bool{false, true} {
		if revoked {
			f.fake.Revoke("789")
		}
		if status, body := b.get(t, "/"); status != http.StatusOK {
			t.Fatalf("answered %d %s", status, body)
		}
		authorization := last.Values("Authorization")
		if len(authorization) != 1 || strings.Contains(authorization[0], "browser") {
			t.Errorf("Looker got the Authorization %q", authorization)
		}
		if cookies := last.Values("Cookie"); len(cookies) != 0 {
			t.Errorf("Looker got the cookies %q", cookies)
		}
	}

	rewrite := proxy.Rewrite
	proxy.Rewrite = func(r *httputil.ProxyRequest) {
		rewrite(r)
		r.Out.Header["Cookie"] = r.In.Header["Cookie"] // as it is without the Del
	}
	b.get(t, "/")
	if got := last.Get("Cookie"); got != "session=of-789" {
		t.Errorf("without the Del, Looker got the cookie %q", got)
	}
}

// A request that a server gets has no GetBody.
func TestReverseProxyPassesThe401OfAnUploadOn(t *testing.T) {
	f := startFront(t, false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	b := startBrowser(t, false, newReverseProxy(t, f))
	upload := func() (int, string) {
		t.Helper()
		return b.do(t, b.request(t, http.MethodPost, "/uploads", strings.NewReader("all of it")))
	}
	if status, body := upload(); status != http.StatusOK || body != "all of it" {
		t.Errorf("before: %d %q", status, body)
	}
	f.fake.Revoke("789")
	if status, body := upload(); status != http.StatusUnauthorized || body == "" {
		t.Errorf("after the revocation: %d %q, want Looker's 401", status, body)
	}
	if status, body := upload(); status != http.StatusOK || body != "all of it" {
		t.Errorf("after that: %d %q", status, body)
	}
}

// A browser gets the early hints of the answer to its own request, and none of a login's.
func TestReverseProxyPassesOnlyTheHintsOfItsOwnRequestOn(t *testing.T) {
	f := newFront(t, http.HandlerFunc(whoami))
	answer := f.Config.Handler
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", r.URL.Path)
		w.WriteHeader(http.StatusEarlyHints)
		answer.ServeHTTP(w, r)
	})
	f.start(t, false)
	b := startBrowser(t, false, newReverseProxy(t, f))
	var hints []string
	req := b.request(t, http.MethodGet, "/whoami", nil)
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(status, " ", header.Get("Link")))
			return nil
		},
	})
	if status, body := b.do(t, req.WithContext(ctx)); status != http.StatusOK || body != "789" {
		t.Errorf("answered %d %q", status, body)
	}
	if want := []string{"103 /whoami"}; !slices.Equal(hints, want) {
		t.Errorf("the browser got the hints %q, want %q", hints, want)
	}
	if n := f.fake.Count(lookertest.OpLoginUser, "789"); n != 1 {
		t.Errorf("%d logins, want one that the request waited for", n)
	}
}

func TestSingleHostReverseProxyIsToldThatTheHostHeaderIsToBlame(t *testing.T) {
	f := startFront(t, false, http.HandlerFunc(whoami))
	looker, err := url.Parse(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	proxy := httputil.NewSingleHostReverseProxy(looker)
	proxy.Transport = newCache(t, f.config()).User("789").Transport(nil)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		failed = err
		w.WriteHeader(http.StatusBadGateway)
	}
	b := startBrowser(t, false, proxy)
	if status, body := b.get(t, "/whoami"); status != http.StatusBadGateway {
		t.Errorf("answered %d %q", status, body)
	}
	host := fmt.Sprintf("its Host header is %q", strings.TrimPrefix(b.URL, "http://"))
	if !errors.Is(failed, lookerauth.ErrForeignOrigin) ||
		!strings.Contains(fmt.Sprint(failed), host) {
		t.Errorf("the error is %v, want that %s", failed, host)
	}
}
