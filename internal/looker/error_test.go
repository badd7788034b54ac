package looker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/token"
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
	"look-up":    {"9p/4Qx+Dk"},
	"logout":     {"9p/4Qx+Dk"},
}

func TestErrorsTellNoSecret(t *testing.T) {
	for name, secrets := range secretsOf {
		for _, secret := range secrets {
			for _, encoding := range encodings {
				t.Run(name+" "+encoding.name, func(t *testing.T) {
					told := strings.Trim(encoding.encode(secret), `"`) // without JSON's own quotes
					text := "1 " + told + " 2 " + told + " 3"
					checkScrubbed(t, calls[name], text, "1 [secret] 2 [secret] 3")
				})
			}
		}
	}
}

// Whatever a Client has learnt, or has been answered, is no error's to tell, whose call it is.
func TestErrorsTellNoSecretOfOtherCalls(t *testing.T) {
	answer := answering(200, nil, goodToken)
	client := newClient(func(req *http.Request) (*http.Response, error) { return answer(req) })
	if _, err := client.Login(t.Context(), anID, aSecret); err != nil {
		t.Fatal(err)
	}
	client.Learn(token.Response{AccessToken: "from-elsewhere", Sent: start, Life: time.Hour})
	client.LearnKey("next-id", "next-secret")
	text := anID + "|" + aSecret + "|4QDk|from-elsewhere|next-id|next-secret|9p/4Qx+Dk"
	want := strings.Repeat("[secret]|", 6) + "[secret]"
	answer = answering(403, nil, asJSON(text))
	for _, name := range []string{"login_user", "look-up", "logout", "login"} {
		if e := failed(t, calls[name](t.Context(), client)); e.Message != want {
			t.Errorf("%s says %q, want %q", name, e.Message, want)
		}
	}
}

// checkScrubbed fails if the call's error does not have want in place of text, whoever says it.
func checkScrubbed(t *testing.T, call call, text, want string) {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"message": text})
	e := failed(t, call(t.Context(), newClient(answering(403, nil, string(body)))))
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

func TestCauseOfAContextTellsNoSecret(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := newClient(func(*http.Request) (*http.Response, error) {
		cancel(errors.New("nobody needs " + aSecret))
		return nil, ctx.Err()
	}).Login(ctx, anID, aSecret)
	if got, want := failed(t, err).Err.Error(), "nobody needs [secret]"; got != want {
		t.Errorf("got %q, want %q", got, want)
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

// scrubbed is err, as a Client scrubs it that knows a key.
func scrubbed(err error) error {
	client := newClient(nil)
	client.LearnKey("hunter2", "hunter3")
	return client.Scrub(err)
}

func TestScrubLeavesAnErrorWithoutSecretsAlone(t *testing.T) {
	for _, err := range []error{nil, errors.New("no secret in it")} {
		if got := scrubbed(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// A client id that is made up for a test, say, is no secret: errors would lose their words.
func TestShortClientIDIsNoSecret(t *testing.T) {
	client := newClient(nil)
	client.LearnKey("looker", "hunter3")
	err := errors.New("looker has hunter3")
	if got := client.Scrub(err).Error(); got != "looker has [secret]" {
		t.Errorf("got %q", got)
	}
}

func TestScrubbedErrorIsTheSameToErrorsIs(t *testing.T) {
	cause := errors.New("hunter2 is the password of hunter3")
	wrapped := fmt.Errorf("call: %w", cause)
	got := scrubbed(wrapped)
	if text, want := got.Error(), "call: [secret] is the password of [secret]"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
	for target, want := range map[error]bool{wrapped: true, cause: true, io.EOF: false} {
		if errors.Is(got, target) != want {
			t.Errorf("errors.Is %q: %v", target, !want)
		}
	}
}

// quoting is an error that package fmt prints with its text, whatever the verb.
type quoting string

func (e quoting) Error() string { return string(e) }

// Who unwraps it, prints it in another way, or looks for a type, finds no error that tells more.
func TestScrubbedErrorDoesNotHandTheOriginalOut(t *testing.T) {
	got := scrubbed(quoting("hunter2"))
	if inner := errors.Unwrap(got); inner != nil {
		t.Errorf("it unwraps to %v", inner)
	}
	var original quoting
	if errors.As(got, &original) {
		t.Errorf("errors.As finds %v", original)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%t", "%c", "%e"} {
		if text := fmt.Sprintf(verb, got); strings.Contains(text, "hunter2") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func TestScrubbedErrorIsATimeOutIfTheOriginalIs(t *testing.T) {
	for cause, want := range map[error]bool{
		context.DeadlineExceeded: true, os.ErrDeadlineExceeded: true, io.EOF: false,
	} {
		err := scrubbed(&url.Error{Op: "Get", URL: "hunter2", Err: cause})
		var timeout net.Error
		if !errors.As(err, &timeout) || timeout.Timeout() != want {
			t.Errorf("%v: got %v", cause, !want)
		}
	}
}
