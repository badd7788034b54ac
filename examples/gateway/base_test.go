package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// programVariable makes the tests' program the gateway itself.
const programVariable = "GATEWAY_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// testKeys are those of every gateway in a test.
var testKeys = []key{
	{"reports", "secret-of-the-reports", "789", []string{"790", "791"}},
	{"alerts", "secret-of-the-alerts!", "792", nil},
}

// served is a gateway before a fake Looker, at a URL. As a process it has no *gateway.
type served struct {
	*gateway
	URL    string
	client *http.Client
	looker *lookertest.Server
	passed atomic.Int64 // of the gateway's time
}

// start starts a gateway before the Looker of cfg. It ends with the test.
func start(t testing.TB, looker *lookertest.Server, cfg lookerauth.Config) *served {
	t.Helper()
	s := &served{looker: looker}
	s.gateway = open(t, cfg, func() time.Time {
		return time.Now().Add(time.Duration(s.passed.Load()))
	})
	server := httptest.NewServer(s.gateway)
	t.Cleanup(server.Close)
	s.URL, s.client = server.URL, server.Client()
	return s
}

// open returns a gateway whose Cache is closed at the end of the test.
func open(t testing.TB, cfg lookerauth.Config, now func() time.Time) *gateway {
	t.Helper()
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close(t.Context()) })
	base, err := url.Parse(cfg.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	return newGateway(cache, base, testKeys, now)
}

// startAtFake starts a gateway before a new fake Looker.
func startAtFake(t testing.TB) *served {
	t.Helper()
	looker := lookertest.New(t)
	return start(t, looker, looker.Config())
}

// answer is what the gateway says: Looker's answers and its own.
type answer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	ID          string `json:"id"`
	UserID      string `json:"user_id"`
	Body        string `json:"body"`
	Message     string `json:"message"`
	Docs        string `json:"documentation_url"`
}

// call sends a request with a token, unless that is "", and returns the status and the answer.
func (s *served) call(
	t testing.TB, token, method, path string, body io.Reader,
) (status int, got answer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/api/4.0"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if strings.HasPrefix(path, "/login") {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Error(err)
		return 0, answer{}
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil && err != io.EOF {
		t.Error(err)
	}
	return resp.StatusCode, got
}

// login returns the token that login answers to a key.
func (s *served) login(t testing.TB, k key) string {
	t.Helper()
	form := url.Values{"client_id": {k.ClientID}, "client_secret": {k.ClientSecret}}
	status, got := s.call(t, "", "POST", "/login", strings.NewReader(form.Encode()))
	if status != http.StatusOK || got.AccessToken == "" || got.ExpiresIn != 3600 {
		t.Fatalf("login answered %d %+v", status, got)
	}
	return got.AccessToken
}

// loginUser returns the token that login_user answers to one of a key.
func (s *served) loginUser(t testing.TB, token, user string) string {
	t.Helper()
	status, got := s.call(t, token, "POST", "/login/"+user, nil)
	if status != http.StatusOK || got.AccessToken == "" {
		t.Fatalf("login_user answered %d %+v", status, got)
	}
	return got.AccessToken
}

// want fails the test if a call with the token is not answered with this status, and, if that is
// 200, as the user's.
func (s *served) want(t testing.TB, token string, status int, user string) {
	t.Helper()
	got, me := s.call(t, token, "GET", "/user", nil)
	if got != status || me.ID != user {
		t.Errorf("answered %d %+v, want %d as %q", got, me, status, user)
	}
}

// wantLogins fails the test unless Looker was asked to log the service account in once, and each of
// these users so often, and nobody else.
func wantLogins(t testing.TB, looker *lookertest.Server, want int, users ...string) {
	t.Helper()
	if n := looker.Count(lookertest.OpLogin, ""); n != 1 {
		t.Errorf("%d logins of the service account, want one", n)
	}
	for _, user := range users {
		if n := looker.Count(lookertest.OpLoginUser, user); n != want {
			t.Errorf("%d logins of user %s, want %d", n, user, want)
		}
	}
	if n := looker.Count(lookertest.OpLoginUser, ""); n != want*len(users) {
		t.Errorf("%d logins of users, want %d", n, want*len(users))
	}
}

// raw sends the text as it is, and returns the answer.
func (s *served) raw(t *testing.T, text string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp
}
