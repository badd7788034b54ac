package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestKeyActsAsItsUsers(t *testing.T) {
	s := startAtFake(t)
	token := s.login(t, testKeys[0])
	s.want(t, token, http.StatusOK, "789")
	for _, user := range []string{"790", "791"} {
		s.want(t, s.loginUser(t, token, user), http.StatusOK, user)
	}
	s.want(t, s.login(t, testKeys[1]), http.StatusOK, "792")
	s.want(t, token, http.StatusOK, "789")
	wantLogins(t, s.looker, 1, "789", "790", "791", "792")
	status, session := s.call(t, token, "GET", "/session", nil)
	if status != http.StatusOK {
		t.Errorf("GET /session: answered %d %+v", status, session)
	}
}

func TestEmptySecretIsNoKey(t *testing.T) {
	s := sessions{keys: []key{{ClientID: "forgotten", User: "789"}}}
	if _, ok := s.login("forgotten", ""); ok {
		t.Error("a key without a secret logs in")
	}
}

func TestTokenEndsAfterAnHour(t *testing.T) {
	s := startAtFake(t)
	token := s.login(t, testKeys[0])
	s.passed.Store(int64(time.Hour - time.Minute))
	s.want(t, token, http.StatusOK, "789")
	s.passed.Store(int64(time.Hour))
	s.want(t, token, http.StatusUnauthorized, "")
	s.want(t, s.login(t, testKeys[0]), http.StatusOK, "789")
	wantLogins(t, s.looker, 1, "789") // Looker's is not the gateway's
}

func TestLogoutEndsOneTokenOfTheGateway(t *testing.T) {
	s := startAtFake(t)
	first, second := s.login(t, testKeys[0]), s.login(t, testKeys[0])
	if status, _ := s.call(t, first, "DELETE", "/logout", nil); status != http.StatusNoContent {
		t.Errorf("logout answered %d", status)
	}
	s.want(t, first, http.StatusUnauthorized, "")
	s.want(t, second, http.StatusOK, "789")
	if n := s.looker.Count(lookertest.OpLogout, ""); n != 0 {
		t.Errorf("%d logouts at Looker, want none: others use its token", n)
	}
}

// Whoever logs in again and again, and never out, does not end those that are in use.
func TestSessionThatIsInUseIsKept(t *testing.T) {
	s := startAtFake(t)
	used, unused := s.login(t, testKeys[0]), s.login(t, testKeys[0])
	for range 20_000 {
		s.sessions.begin(session{user: "792"})
		if _, ok := s.sessions.find(used); !ok {
			t.Fatal("a session ended that was in use")
		}
	}
	s.want(t, unused, http.StatusUnauthorized, "")
	if n := s.sessions.byDigest.Len(); n != 10_000 {
		t.Errorf("%d sessions are kept, want 10,000", n)
	}
}

func TestRequestIsSentAgainWithItsBody(t *testing.T) {
	s := startAtFake(t)
	token := s.login(t, testKeys[0])
	long := strings.Repeat("a", 1<<20)
	for _, test := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"none", nil, http.StatusOK},
		{"short", strings.NewReader("short"), http.StatusOK},
		{"1 MiB", strings.NewReader(long), http.StatusOK},
		{"longer", strings.NewReader(long + "a"), http.StatusUnauthorized},
		{"unknown length", io.MultiReader(strings.NewReader("short")), http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.want(t, token, http.StatusOK, "789") // and so there is a token to revoke
			s.looker.Revoke("789")
			status, got := s.call(t, token, "POST", "/looks/1", test.body)
			if status != test.status {
				t.Fatalf("answered %d %+v, want %d", status, got, test.status)
			}
			if body, ok := test.body.(*strings.Reader); ok && status == http.StatusOK {
				if int64(len(got.Body)) != body.Size() || got.UserID != "789" {
					t.Errorf("Looker got %d bytes of %q", len(got.Body), got.UserID)
				}
			}
		})
	}
}

// What was checked is what Looker gets, however it was written.
func TestPathAndQueryAreLookers(t *testing.T) {
	looker := lookertest.New(t)
	cfg := looker.Config()
	wire := &watched{RoundTripper: cfg.Transport}
	cfg.Transport = wire
	s := start(t, looker, cfg)
	token := s.login(t, testKeys[0])
	const path = "/dashboards/model%3A%3Aa%20name/%6Cooks/a.b@c?filter=a%2Fb%26c&limit=5"
	if status, got := s.call(t, token, "GET", path, nil); status != http.StatusOK {
		t.Fatalf("answered %d %+v", status, got)
	}
	all := s.looker.Requests()
	last := all[len(all)-1]
	query := last.Query.Get("filter") + " " + last.Query.Get("limit")
	if last.Path != "/dashboards/model::a name/looks/a.b@c" || query != "a/b&c 5" {
		t.Errorf("Looker got %s %v", last.Path, last.Query)
	}
	if want := "/api/4.0/dashboards/model::a%20name/looks/a.b@c"; wire.path != want {
		t.Errorf("Looker got %s, want %s", wire.path, want)
	}
}

// watched keeps the path and the trailer of the last request as it goes over the wire.
type watched struct {
	http.RoundTripper
	path    string
	trailer http.Header
}

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	w.path, w.trailer = r.URL.EscapedPath(), r.Trailer
	return w.RoundTripper.RoundTrip(r)
}

// startAtStream starts a gateway before a Looker of which one call answers with each line of next,
// as it comes. With a body it answers with the lines of that, after a first one.
func startAtStream(t *testing.T) (s *served, next chan<- string) {
	t.Helper()
	looker := lookertest.New(t)
	target, err := url.Parse(looker.URL)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/4.0/looks/1/run/csv", func(w http.ResponseWriter, r *http.Request) {
		if length := r.FormValue("length"); length != "" {
			w.Header().Set("Content-Length", length)
		}
		for {
			select {
			case line, ok := <-lines:
				if !ok {
					return
				}
				say(w, line)
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("POST /api/4.0/looks/1/run/csv", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		say(w, "first")
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			say(w, lines.Text())
		}
	})
	mux.Handle("/", &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: looker.Transport(),
	})
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	cfg := looker.Config()
	cfg.BaseURL, cfg.Transport = front.URL, front.Client().Transport
	return start(t, looker, cfg), lines
}

// An answer of known length comes in parts, too.
func TestAnswerComesAsItIsWritten(t *testing.T) {
	s, next := startAtStream(t)
	target := s.URL + "/api/4.0/looks/1/run/csv?length=8"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token "+s.login(t, testKeys[0]))
	go func() { next <- "one" }()
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	down := bufio.NewReader(resp.Body)
	if got, err := down.ReadString('\n'); got != "one\n" || resp.ContentLength != 8 {
		t.Errorf("got %q of %d bytes, %v", got, resp.ContentLength, err)
	}
	next <- "two"
	if got, err := down.ReadString('\n'); got != "two\n" {
		t.Errorf("got %q, %v", got, err)
	}
	close(next)
}

// say answers with a line, at once.
func say(w http.ResponseWriter, line string) {
	_, _ = io.WriteString(w, line+"\n")
	_ = http.NewResponseController(w).Flush()
}

// Each line is through before the next one is sent.
func TestStreamsGoBothWays(t *testing.T) {
	s, _ := startAtStream(t)
	up, sending := io.Pipe()
	target := s.URL + "/api/4.0/looks/1/run/csv"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, up)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token "+s.login(t, testKeys[0]))
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	down := bufio.NewReader(resp.Body)
	for _, line := range []string{"first\n", "second\n", "third\n"} {
		if line != "first\n" {
			if _, err := io.WriteString(sending, line); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := down.ReadString('\n'); got != line {
			t.Fatalf("got %q, %v, want %q", got, err, line)
		}
	}
	sending.Close()
}

// failures are what a login at Looker may meet, and what a program is answered.
var failures = []struct {
	name       string
	op         lookertest.Op
	fault      lookertest.Fault
	status     int
	retryAfter int // seconds; 0: none
}{
	{"no such user", lookertest.OpLoginUser, lookertest.Fault{Status: 404}, 404, 0},
	{"not an admin", lookertest.OpLoginUser, lookertest.Fault{Status: 403}, 403, 0},
	{"too many logins", lookertest.OpLoginUser, lookertest.Fault{
		Status: 429, Header: http.Header{"Retry-After": {"90"}},
	}, 429, 90},
	{"away for a while", lookertest.OpLoginUser, lookertest.Fault{
		Status: 503, Header: http.Header{"Retry-After": {"60"}},
	}, 503, 60},
	{"broken", lookertest.OpLoginUser, lookertest.Fault{Status: 500}, 500, 0},
	{"no answer", lookertest.OpLoginUser, lookertest.Fault{Drop: true}, 502, 0},
	{"not Looker", lookertest.OpLogin, lookertest.Fault{Body: "<html>"}, 502, 0},
	{"wrong API key", lookertest.OpLogin, lookertest.Fault{Status: 404}, 502, 0},
	{"late", lookertest.OpLoginUser, lookertest.Fault{Delay: time.Hour}, 504, 0},
	{"request without an answer", lookertest.OpAPI, lookertest.Fault{Drop: true}, 502, 0},
}

func TestFailuresComeAsLookersErrors(t *testing.T) {
	for _, test := range failures {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				looker := lookertest.New(t, lookertest.InMemory())
				cfg := looker.Config()
				g := open(t, cfg, time.Now)
				looker.FailFunc(func(r lookertest.Request) lookertest.Fault {
					if r.Op == test.op {
						return test.fault
					}
					return lookertest.Fault{}
				})
				// As long as its session lasts, a program may send requests that need a login.
				token := g.sessions.begin(session{user: "789", users: []string{"790"}})
				calls := []string{"GET /api/4.0/user", "POST /api/4.0/login/790"}
				if test.op == lookertest.OpAPI {
					calls = calls[:1]
				}
				for _, call := range calls {
					method, path, _ := strings.Cut(call, " ")
					r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
					r.Host = "localhost"
					r.Header.Set("Authorization", "token "+token)
					w := httptest.NewRecorder()
					g.ServeHTTP(w, r)
					checkFailure(t, w.Result(), test.status, test.retryAfter)
					if bytes.Contains(w.Body.Bytes(), []byte(cfg.ClientSecret)) {
						t.Error("the answer holds the API key")
					}
				}
			})
		})
	}
}

func checkFailure(t *testing.T, resp *http.Response, status, retryAfter int) {
	t.Helper()
	checkRefusal(t, resp, status)
	said := resp.Header.Get("Retry-After")
	seconds, err := strconv.Atoi(said)
	if retryAfter > 0 && (err != nil || seconds != retryAfter) {
		t.Errorf("Retry-After is %q, want %d", said, retryAfter)
	}
	if retryAfter == 0 && said != "" {
		t.Errorf("Retry-After is %q, want none", said)
	}
}

// A program whose upload breaks off has not sent what Looker would take for the whole.
func TestHalfABodyDoesNotGoToLooker(t *testing.T) {
	s := startAtFake(t)
	token := s.login(t, testKeys[0])
	before := len(s.looker.Requests())
	half := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF))
	r := httptest.NewRequest("POST", "/api/4.0/looks/1", half)
	r.Host, r.ContentLength = "localhost", 8
	r.Header.Set("Authorization", "token "+token)
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("the connection is not closed")
			}
		}()
		s.gateway.ServeHTTP(httptest.NewRecorder(), r)
	}()
	if calls := s.looker.Requests()[before:]; len(calls) != 0 {
		t.Errorf("Looker got %+v", calls)
	}
}
