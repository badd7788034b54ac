package looker_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/benbjohnson/clock"
	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/token"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent")) // Go's own, on js
}

const (
	root      = "https://looker.example:19999/api/4.0"
	anID      = "7QzR 4w/8é+"
	aSecret   = "s&cr=t/ü +%"
	goodToken = `{"access_token":"4QDk","token_type":"Bearer","expires_in":3600}`
)

var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// held is a token that authorizes calls.
var held = token.New(token.Key{Kind: token.ServiceAccount}, token.Response{
	AccessToken: "9p/4Qx+Dk", TokenType: "Bearer", Sent: start, Life: time.Hour,
})

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// newClient returns a Client whose calls f answers, at the time start.
func newClient(f roundTripper) *looker.Client {
	return looker.New(root, true, f, func() time.Time { return start }, "test")
}

// respond returns an answer with this body.
func respond(status int, header http.Header, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// answering answers every call so.
func answering(status int, header http.Header, body string) roundTripper {
	return func(*http.Request) (*http.Response, error) {
		return respond(status, header, body), nil
	}
}

// call is one of the calls that a Client makes.
type call = func(context.Context, *looker.Client) error

// calls are all there are, by name.
var calls = map[string]call{
	"login": func(ctx context.Context, c *looker.Client) error {
		_, err := c.Login(ctx, anID, aSecret)
		return err
	},
	"login_user": func(ctx context.Context, c *looker.Client) error {
		_, err := c.LoginUser(ctx, held, "789")
		return err
	},
	"look-up": func(ctx context.Context, c *looker.Client) error {
		_, err := c.LookUp(ctx, held, "embed", "42")
		return err
	},
	"logout": func(ctx context.Context, c *looker.Client) error { return c.Logout(ctx, held) },
}

// anyGood is an answer that is a success of every call.
const anyGood = `{"access_token":"4QDk","expires_in":3600,"id":"789"}`

// eachCall runs test for every call.
func eachCall(t *testing.T, test func(t *testing.T, call call)) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) { test(t, call) })
	}
}

// failed returns the *looker.Error that err is.
func failed(t *testing.T, err error) *looker.Error {
	t.Helper()
	e, ok := err.(*looker.Error)
	if !ok {
		t.Fatalf("got %T %v, want a *looker.Error", err, err)
	}
	return e
}

func TestCallsOnTheWire(t *testing.T) {
	login := func(id, secret string) func(*looker.Client) error {
		return func(c *looker.Client) error {
			_, err := c.Login(t.Context(), id, secret)
			return err
		}
	}
	loginUser := func(userID string) func(*looker.Client) error {
		return func(c *looker.Client) error {
			_, err := c.LoginUser(t.Context(), held, userID)
			return err
		}
	}
	lookUp := func(c *looker.Client) error {
		_, err := c.LookUp(t.Context(), held, "embed", "a/b ?ü")
		return err
	}
	logout := func(c *looker.Client) error { return c.Logout(t.Context(), held) }
	const head = " HTTP/1.1\nHost: looker.example:19999\nUser-Agent: test\n"
	for name, test := range map[string]struct {
		call        func(*looker.Client) error
		associative bool
		want        string
	}{
		"login": {login("7QzR", "s3cr3t"), true, "POST /api/4.0/login" + head +
			"Content-Length: 35\nAccept: application/json\n" +
			"Content-Type: application/x-www-form-urlencoded\n\n" +
			"client_id=7QzR&client_secret=s3cr3t"},
		"login, not associative": {login("a&b", "ü +"), false, "POST /api/4.0/login" + head +
			"Content-Length: 40\nAccept: application/json\n" +
			"Content-Type: application/x-www-form-urlencoded\n\n" +
			"client_id=a%26b&client_secret=%C3%BC+%2B"},
		"login_user": {loginUser("789"), true, "POST /api/4.0/login/789" + head +
			"Content-Length: 0\nAccept: application/json\nAuthorization: token 9p/4Qx+Dk\n\n"},
		"login_user, not associative": {loginUser("a/b ?"), false,
			"POST /api/4.0/login/a%2Fb%20%3F?associative=false" + head +
				"Content-Length: 0\nAccept: application/json\nAuthorization: token 9p/4Qx+Dk\n\n"},
		"look-up": {lookUp, false,
			"GET /api/4.0/users/credential/embed/a%2Fb%20%3F%C3%BC?fields=id" + head +
				"Accept: application/json\nAuthorization: token 9p/4Qx+Dk\n\n"},
		"logout": {logout, true, "DELETE /api/4.0/logout" + head +
			"Accept: application/json\nAuthorization: token 9p/4Qx+Dk\n\n"},
		"logout, not associative": {logout, false, "DELETE /api/4.0/logout" + head +
			"Accept: application/json\nAuthorization: token 9p/4Qx+Dk\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var wire bytes.Buffer
			send := roundTripper(func(req *http.Request) (*http.Response, error) {
				if scheme := req.URL.Scheme; scheme != "https" {
					t.Errorf("sent by %s", scheme)
				}
				return respond(http.StatusOK, nil, anyGood), req.Write(&wire)
			})
			c := looker.New(root, test.associative, send, func() time.Time { return start }, "test")
			if err := test.call(c); err != nil {
				t.Error(err)
			}
			if got := strings.ReplaceAll(wire.String(), "\r\n", "\n"); got != test.want {
				t.Errorf("sent\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestNoCallIsTriedTwice(t *testing.T) {
	eachCall(t, func(t *testing.T, call call) {
		elsewhere := http.Header{"Location": {"https://evil.example/"}, "Retry-After": {"0"}}
		for _, status := range []int{0, 301, 302, 307, 308, 429, 500, 503} {
			n := 0
			err := call(t.Context(), newClient(func(*http.Request) (*http.Response, error) {
				if n++; status == 0 {
					return nil, io.ErrUnexpectedEOF
				}
				return respond(status, elsewhere, ""), nil
			}))
			if err == nil || n != 1 {
				t.Errorf("%d: got %v after %d calls", status, err, n)
			}
		}
	})
}

func TestCallHasTheCallersContext(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "value")
	eachCall(t, func(t *testing.T, call call) {
		_ = call(ctx, newClient(func(req *http.Request) (*http.Response, error) {
			if value := req.Context().Value(key{}); value != "value" {
				t.Errorf("the value is %v", value)
			}
			return respond(http.StatusOK, nil, goodToken), nil
		}))
	})
}

// trackedBody is a body that counts what is read, and says whether it was closed.
type trackedBody struct {
	io.Reader
	read   int
	closed bool
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	return n, err
}

func (b *trackedBody) Close() error {
	b.closed = true
	return nil
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestEveryAnswerIsClosedAndAtMost64KiBOfItAreRead(t *testing.T) {
	cut := iotest.ErrReader(io.ErrUnexpectedEOF)
	eachCall(t, func(t *testing.T, call call) {
		for _, status := range []int{200, 204, 302, 404, 500} {
			for name, reader := range map[string]io.Reader{
				"whole":   strings.NewReader(goodToken),
				"cut":     cut,
				"endless": endless{},
			} {
				body := &trackedBody{Reader: reader}
				_ = call(t.Context(), newClient(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: status, Body: body}, nil
				}))
				if !body.closed || body.read > 64<<10 {
					t.Errorf("%d, %s: closed: %v, %d bytes read",
						status, name, body.closed, body.read)
				}
			}
		}
	})
}

func TestAnswerMayHave64KiB(t *testing.T) {
	for size, want := range map[int]bool{64 << 10: true, 64<<10 + 1: false} {
		body := strings.Repeat(" ", size-len(goodToken)) + goodToken
		_, err := newClient(answering(http.StatusOK, nil, body)).Login(t.Context(), anID, aSecret)
		if (err == nil) != want {
			t.Errorf("%d bytes: got %v", size, err)
		}
	}
}

func TestTokensLifeStartsWhenTheLoginIsSent(t *testing.T) {
	mock := clock.NewMock()
	mock.Set(start)
	c := looker.New(root, true, roundTripper(func(*http.Request) (*http.Response, error) {
		mock.Add(time.Minute)
		return respond(http.StatusOK, nil, goodToken), nil
	}), mock.Now, "test")
	for range 2 {
		sent := mock.Now()
		got, err := c.LoginUser(t.Context(), held, "789")
		if err != nil || !got.Sent.Equal(sent) || got.Life != time.Hour {
			t.Errorf("got %v from %v on, %v, want an hour from %v on",
				got.Life, got.Sent, err, sent)
		}
	}
}

func TestLogoutOfATokenThatHasEndedIsASuccess(t *testing.T) {
	for _, status := range []int{200, 204, 401, 404} {
		for _, body := range []string{"", `{"message":"Not found"}`} {
			err := newClient(answering(status, nil, body)).Logout(t.Context(), held)
			if err != nil {
				t.Errorf("%d %s: got %v", status, body, err)
			}
		}
	}
}

func TestLogoutByAPI30IsAnsweredWithAString(t *testing.T) {
	err := newClient(answering(http.StatusOK, nil, `"ok"`)).Logout(t.Context(), held)
	if err != nil {
		t.Error(err)
	}
}

func TestPageOfAProxyIsNoLogout(t *testing.T) {
	bodies := map[int][]string{
		200: {"<html>Blocked"},
		401: {"<html>Blocked", `{"error":"no key"}`, `"no key"`},
		404: {"<html>Blocked", `{"error":"no route"}`, "[]"},
	}
	for status := range bodies {
		for _, body := range bodies[status] {
			err := newClient(answering(status, nil, body)).Logout(t.Context(), held)
			if e := failed(t, err); !e.NotLooker {
				t.Errorf("%d %s: got %#v", status, body, e)
			}
		}
	}
}

func TestAnythingElseOnLogoutIsAnError(t *testing.T) {
	for _, status := range []int{199, 201, 202, 302, 400, 402, 403, 405, 429, 500, 503} {
		err := newClient(answering(status, nil, "")).Logout(t.Context(), held)
		if e := failed(t, err); e.Status != status {
			t.Errorf("%d: got %#v", status, e)
		}
	}
}

func TestCallThatWasNotAnsweredInFull(t *testing.T) {
	whole := strings.NewReader // the answer looks complete, and yet more was to come
	for name, send := range map[string]roundTripper{
		"no answer": func(*http.Request) (*http.Response, error) {
			return nil, io.ErrUnexpectedEOF
		},
		"cut before its body": func(*http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: 200, Body: io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)),
			}, nil
		},
		"cut after a token": func(*http.Request) (*http.Response, error) {
			body := io.MultiReader(whole(goodToken), iotest.ErrReader(io.ErrUnexpectedEOF))
			return &http.Response{StatusCode: 200, Body: io.NopCloser(body)}, nil
		},
		"cut after an error": func(*http.Request) (*http.Response, error) {
			body := io.MultiReader(whole(`{"message":"Not found"}`),
				iotest.ErrReader(io.ErrUnexpectedEOF))
			return &http.Response{StatusCode: 404, Body: io.NopCloser(body)}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachCall(t, func(t *testing.T, call call) {
				e := failed(t, call(t.Context(), newClient(send)))
				if *e != (looker.Error{NoAnswer: true, Err: io.ErrUnexpectedEOF}) {
					t.Errorf("got %#v", e)
				}
			})
		})
	}
}

func TestCancelledCallHasTheCause(t *testing.T) {
	errLeft := errors.New("left")
	for name, end := range map[string]func() (*http.Response, error){
		"before the answer": func() (*http.Response, error) { return nil, context.Canceled },
		"within the answer": func() (*http.Response, error) {
			return &http.Response{
				StatusCode: 200, Body: io.NopCloser(iotest.ErrReader(context.Canceled)),
			}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachCall(t, func(t *testing.T, call call) {
				ctx, cancel := context.WithCancelCause(t.Context())
				err := call(ctx, newClient(func(*http.Request) (*http.Response, error) {
					cancel(errLeft)
					return end()
				}))
				if e := failed(t, err); *e != (looker.Error{Err: errLeft}) {
					t.Errorf("got %#v", e)
				}
			})
		})
	}
}

// Looker has done it: nobody would know of the token otherwise.
func TestAnswerThatCameInFullCountsThoughTheCallWasCancelled(t *testing.T) {
	eachCall(t, func(t *testing.T, call call) {
		ctx, cancel := context.WithCancel(t.Context())
		err := call(ctx, newClient(func(*http.Request) (*http.Response, error) {
			cancel()
			return respond(http.StatusOK, nil, anyGood), nil
		}))
		if err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestCallThatCannotBeSentIsNotSent(t *testing.T) {
	const bad = "https://looker.example:" + aSecret
	send := roundTripper(func(*http.Request) (*http.Response, error) {
		t.Error("it was sent")
		return nil, io.EOF
	})
	c := looker.New(bad, true, send, func() time.Time { return start }, "test")
	_, err := c.Login(t.Context(), anID, aSecret)
	e := failed(t, err)
	if *e != (looker.Error{Err: e.Err}) || e.Err == nil {
		t.Errorf("got %#v", e)
	}
	if strings.Contains(e.Error(), aSecret) {
		t.Errorf("it tells a secret: %v", e)
	}
}

func TestTransportThatReturnsNothingIsNoAnswer(t *testing.T) {
	_, err := newClient(roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, nil
	})).Login(t.Context(), anID, aSecret)
	if e := failed(t, err); !e.NoAnswer || !strings.Contains(e.Err.Error(), "neither") {
		t.Errorf("got %#v", e)
	}
}

func TestAnswerWithoutABodyIsAnEmptyOne(t *testing.T) {
	_, err := newClient(roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusForbidden}, nil
	})).Login(t.Context(), anID, aSecret)
	if e := failed(t, err); e.Status != http.StatusForbidden || !e.NotLooker {
		t.Errorf("got %#v", e)
	}
}
