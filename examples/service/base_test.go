package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// programVariable makes the tests' program the service itself.
const programVariable = "SERVICE_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		return
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

var testSettings = settings{make([]byte, 32), demoCustomers, "1"}

// stand is a service before a fake Looker, in simulated time.
type stand struct {
	http.Handler
	cache  *lookerauth.Cache
	looker *lookertest.Server
}

// simulate runs f in a bubble in which time passes when all wait.
func simulate(t *testing.T, f func(t *testing.T, s *stand)) {
	synctest.Test(t, func(t *testing.T) {
		looker, err := lookertest.Start(lookertest.InMemory())
		if err != nil {
			t.Fatal(err)
		}
		defer looker.Close()
		fill(looker)
		cache, err := lookerauth.New(looker.Config())
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close(t.Context())
		handler, err := newService(cache, looker.URL, testSettings)
		if err != nil {
			t.Fatal(err)
		}
		f(t, &stand{handler, cache, looker})
	})
}

// call is a request of a customer's: of nobody's if that is "".
func (s *stand) call(method, target, customer string, header http.Header) (int, string) {
	req := httptest.NewRequest(method, target, nil)
	for name := range header {
		req.Header.Set(name, header.Get(name))
	}
	if customer != "" {
		req.AddCookie(signIn(s, customer))
	}
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, req)
	return answer.Code, answer.Body.String()
}

// want fails the test unless a GET has this status, and these texts in its answer.
func (s *stand) want(t *testing.T, target, customer string, status int, texts ...string) {
	t.Helper()
	code, body := s.call("GET", target, customer, nil)
	if code != status {
		t.Errorf("%s of %q: status %d, want %d", target, customer, code, status)
	}
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("%s of %q: no %q in\n%s", target, customer, text, body)
		}
	}
}

// signIn returns the cookie of a customer who has signed in.
func signIn(h http.Handler, customer string) *http.Cookie {
	form := strings.NewReader(url.Values{"customer": {customer}}.Encode())
	req := httptest.NewRequest("POST", "/sign-in", form)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, req)
	_, _ = io.Copy(io.Discard, answer.Body)
	for _, cookie := range answer.Result().Cookies() {
		return cookie
	}
	return &http.Cookie{Name: cookieName, Value: "none"}
}
