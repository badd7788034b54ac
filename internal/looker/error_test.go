package looker_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/internal/looker"
)

func TestRefusals(t *testing.T) {
	const (
		notWell  = "the server, or a proxy before it, is not well: try again later"
		redirect = "a redirect, which the API key must not follow"
		html     = "<html>no</html>"
	)
	json := asJSON("no")
	for _, test := range []struct {
		status int
		body   string
		want   looker.Error // Status and Err apart
		why    string       // Err's text; "" if there is none
	}{
		{400, json, looker.Error{Message: "no"}, ""},
		{403, json, looker.Error{Message: "no"}, ""},
		{422, `{"message":"no","errors":[{"field":"x"}]}`, looker.Error{Message: "no"}, ""},
		{499, json, looker.Error{Message: "no"}, ""},

		// Looker's errors have a message: a gateway answers these.
		{400, html, looker.Error{NotLooker: true}, ""},
		{403, "", looker.Error{NotLooker: true}, ""},
		{403, "{}", looker.Error{NotLooker: true}, ""},
		{403, `"no"`, looker.Error{NotLooker: true}, ""},
		{403, `["no"]`, looker.Error{NotLooker: true}, ""},
		{403, `{"message":null}`, looker.Error{}, ""}, // Looker's: its specification allows it
		{403, `{"message":1}`, looker.Error{NotLooker: true}, ""},
		{403, `{"message":"no","message":1}`, looker.Error{NotLooker: true}, ""},
		{403, json + "x", looker.Error{NotLooker: true}, ""},
		{499, html, looker.Error{NotLooker: true}, ""},
		{199, html, looker.Error{NotLooker: true}, ""},

		{429, json, looker.Error{Message: "no", RetryAfter: 7 * time.Second}, ""},
		{429, html, looker.Error{RetryAfter: 7 * time.Second}, ""},

		{500, json, looker.Error{Message: "no", RetryAfter: 7 * time.Second}, notWell},
		{500, html, looker.Error{RetryAfter: 7 * time.Second}, notWell},
		{501, html, looker.Error{RetryAfter: 7 * time.Second}, notWell},
		{503, html, looker.Error{RetryAfter: 7 * time.Second}, notWell},
		{599, json, looker.Error{Message: "no", RetryAfter: 7 * time.Second}, notWell},

		{300, html, looker.Error{NotLooker: true}, redirect},
		{302, json, looker.Error{NotLooker: true, Message: "no"}, redirect},
		{399, html, looker.Error{NotLooker: true}, redirect},
		{299, json, looker.Error{Message: "no"}, ""},
	} {
		eachCall(t, func(t *testing.T, call call) {
			header := http.Header{"Retry-After": {"7"}, "Location": {"https://evil.example/"}}
			e := failed(t, call(t.Context(), newClient(answering(test.status, header, test.body))))
			test.want.Status, test.want.Err = test.status, e.Err
			if *e != test.want || test.why == "" && e.Err != nil ||
				test.why != "" && (e.Err == nil || e.Err.Error() != test.why) {
				t.Errorf("%d %s: got %#v, want %#v, as %q",
					test.status, test.body, e, test.want, test.why)
			}
		})
	}
}

func TestErrorSaysWhatIsWrong(t *testing.T) {
	err := &looker.Error{Status: 404, Message: "Not found", Err: io.ErrUnexpectedEOF}
	if got, want := err.Error(), "404 Not found: unexpected EOF"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("errors.Is does not see what is wrong")
	}
}

// secretsOf are what each call must not tell.
var secretsOf = map[string][]string{
	"login":      {anID, aSecret},
	"login_user": {"9p/4Qx+Dk"},
	"logout":     {"9p/4Qx+Dk"},
}

// spellings are those in which a secret is looked for.
func spellings(secret string) []string {
	return []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
}

func TestErrorsTellNoSecret(t *testing.T) {
	for name, secrets := range secretsOf {
		for _, secret := range secrets {
			for _, told := range spellings(secret) {
				t.Run(name+" "+told, func(t *testing.T) {
					text := "1 " + told + " 2 " + told + " 3"
					checkScrubbed(t, calls[name], text, "1 [secret] 2 [secret] 3")
				})
			}
		}
	}
}

// checkScrubbed fails if the call's error does not have want in place of text, whoever says it.
func checkScrubbed(t *testing.T, call call, text, want string) {
	t.Helper()
	e := failed(t, call(t.Context(), newClient(answering(403, nil, asJSON(text)))))
	if e.Message != want {
		t.Errorf("Looker's message became %q, want %q", e.Message, want)
	}
	e = failed(t, call(t.Context(), newClient(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("%s: %w", text, io.ErrUnexpectedEOF)
	})))
	if want += ": unexpected EOF"; e.Err.Error() != want {
		t.Errorf("the transport's error became %q, want %q", e.Err, want)
	}
	if !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Errorf("errors.Is does not see the cause of %v", e)
	}
}

// Of a secret that stands where the message is cut, not even the beginning is told.
func TestCutMessageTellsNoPieceOfASecret(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for before := 200 - len(aSecret); before <= 200; before++ {
		body := asJSON(x(before) + aSecret + x(100))
		_, err := newClient(answering(403, nil, body)).Login(t.Context(), anID, aSecret)
		want := (x(before) + "[secret]" + x(100))[:200] + "…"
		if got := failed(t, err).Message; got != want {
			t.Errorf("%d bytes before it: got %q, want %q", before, got, want)
		}
	}
}

func TestScrubLeavesAnErrorWithoutSecretsAlone(t *testing.T) {
	err := errors.New("no secret in it")
	for _, secrets := range [][]string{nil, {""}, {"", "hunter2"}} {
		if got := looker.Scrub(err, secrets...); got != err {
			t.Errorf("without %q: got %v", secrets, got)
		}
	}
}

func TestScrubbedErrorIsTheSameToErrorsIs(t *testing.T) {
	cause := errors.New("hunter2 is the password of hunter3")
	wrapped := fmt.Errorf("call: %w", cause)
	got := looker.Scrub(wrapped, "hunter2", "hunter3")
	if text, want := got.Error(), "call: [secret] is the password of [secret]"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
	for target, want := range map[error]bool{wrapped: true, cause: true, io.EOF: false} {
		if errors.Is(got, target) != want {
			t.Errorf("errors.Is %q: %v", target, !want)
		}
	}
}

// Who unwraps it, prints it in another way, or looks for a type, finds no error that tells more.
func TestScrubbedErrorDoesNotHandTheOriginalOut(t *testing.T) {
	got := looker.Scrub(&url.Error{Op: "Get", URL: "hunter2", Err: io.EOF}, "hunter2")
	if inner := errors.Unwrap(got); inner != nil {
		t.Errorf("it unwraps to %v", inner)
	}
	var original *url.Error
	if errors.As(got, &original) {
		t.Errorf("errors.As finds %v", original)
	}
}
