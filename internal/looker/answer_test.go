package looker_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/token"
)

func TestAnswerThatIsAToken(t *testing.T) {
	const long = "4QDkCyCtZzYgj4C2p2cj3csJH7zqS5RzKs2kTnG4"
	for body, want := range map[string]token.Response{
		goodToken: {AccessToken: "4QDk", TokenType: "Bearer", Life: time.Hour},
		`{"access_token":"` + long + `","token_type":"token","expires_in":1,"x":null}`: {
			AccessToken: long, TokenType: "token", Life: time.Second,
		},
		`{"access_token":"!~","expires_in":1.5}`: {
			AccessToken: "!~", Life: 1500 * time.Millisecond,
		},
		`{"access_token":"x","expires_in":1}`: {AccessToken: "x", Life: time.Second},
		`{"access_token":"x","expires_in":86400}`: {
			AccessToken: "x", Life: 24 * time.Hour,
		},
		`{"access_token":"x","expires_in":86401}`: {
			AccessToken: "x", Life: 24 * time.Hour,
		},
		`{"access_token":"x","expires_in":1e300}`: {
			AccessToken: "x", Life: 24 * time.Hour,
		},
	} {
		want.Sent = start
		c := newClient(answering(http.StatusOK, nil, body))
		if got, err := c.Login(t.Context(), anID, aSecret); err != nil || got != want {
			t.Errorf("%s: login got %#v, %v, want %#v", body, got, err, want)
		}
		if got, err := c.LoginUser(t.Context(), held, "789"); err != nil || got != want {
			t.Errorf("%s: login_user got %#v, %v, want %#v", body, got, err, want)
		}
	}
}

func TestSuccessWithoutATokenIsNotLookers(t *testing.T) {
	const (
		noJSON  = "its body is not an access token in JSON"
		noToken = "its access_token is missing or malformed"
		noLife  = "its expires_in is not a number of seconds, 1 or more"
	)
	for body, want := range map[string]string{
		"":                     noJSON,
		"<html>":               noJSON,
		"[]":                   noJSON,
		goodToken + "x":        noJSON,
		`{"access_token":1}`:   noJSON,
		`{"access_token":"x"`:  noJSON,
		`{"expires_in":"1"}`:   noJSON,
		`{"expires_in":1e400}`: noJSON,

		"null":                                  noToken,
		"{}":                                    noToken,
		`{"expires_in":3600}`:                   noToken,
		`{"message":"hello"}`:                   noToken,
		`{"access_token":""}`:                   noToken,
		`{"access_token":" "}`:                  noToken,
		`{"access_token":"a b","expires_in":1}`: noToken,
		`{"access_token":"a\r\nb","expires_in":1}`:   noToken,
		`{"access_token":"a\u007fb","expires_in":1}`: noToken,
		`{"access_token":"aäb","expires_in":1}`:      noToken,

		`{"access_token":"x"}`:                     noLife,
		`{"access_token":"x","expires_in":null}`:   noLife,
		`{"access_token":"x","expires_in":0}`:      noLife,
		`{"access_token":"x","expires_in":1e-9}`:   noLife,
		`{"access_token":"x","expires_in":0.999}`:  noLife,
		`{"access_token":"x","expires_in":-1}`:     noLife,
		`{"access_token":"x","expires_in":-1e300}`: noLife,
	} {
		got, err := newClient(answering(http.StatusOK, nil, body)).Login(t.Context(), anID, aSecret)
		e := failed(t, err)
		if *e != (looker.Error{Status: 200, NotLooker: true, Err: e.Err}) || e.Err.Error() != want {
			t.Errorf("%s: got %#v, want that %s", body, e, want)
		}
		if got != (token.Response{}) {
			t.Errorf("%s: got %#v with the error", body, got)
		}
	}
}

// A login has been granted only with 200, whatever else comes with another success.
func TestOtherSuccessIsNoLogin(t *testing.T) {
	for _, status := range []int{199, 201, 204, 299} {
		c := newClient(answering(status, nil, goodToken))
		got, err := c.LoginUser(t.Context(), held, "789")
		e := failed(t, err)
		if *e != (looker.Error{Status: status, NotLooker: true}) || got != (token.Response{}) {
			t.Errorf("%d: got %#v, %#v", status, got, e)
		}
	}
}

func TestAnswerThatIsAUser(t *testing.T) {
	for body, want := range map[string]string{
		`{"id":"789"}`:                 "789",
		`{"id":789,"display_name":""}`: "789",
		`{"id":"../1"}`:                "../1", // it may be any text
	} {
		got, err := newClient(answering(200, nil, body)).LookUp(t.Context(), held, "embed", "42")
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v", body, got, err)
		}
	}
	const (
		noJSON = "its body is not a user in JSON"
		noID   = "its id is missing or malformed"
	)
	for body, want := range map[string]string{
		"": noJSON, "<html>": noJSON, "[]": noJSON, `{"id":"1"`: noJSON, `{"id":"1"}x`: noJSON,
		`"789"`: noJSON, "{}": noID, "null": noID, `{"id":null}`: noID, `{"id":""}`: noID,
		`{"id":true}`: noID, `{"id":["789"]}`: noID, `{"id":{}}`: noID,
	} {
		got, err := newClient(answering(200, nil, body)).LookUp(t.Context(), held, "embed", "42")
		e := failed(t, err)
		if *e != (looker.Error{Status: 200, NotLooker: true, Err: e.Err}) || e.Err.Error() != want {
			t.Errorf("%s: got %#v, want that %s", body, e, want)
		}
		if got != "" {
			t.Errorf("%s: got %q with the error", body, got)
		}
	}
}

func TestAccessTokensAreVisibleASCII(t *testing.T) {
	for s, want := range map[string]bool{
		"4QDk": true, "!": true, "~": true, "a.b-c_d/e+f=": true,
		"": false, " ": false, "a b": false, "a\n": false, "\x00": false, "\x1f": false,
		strings.Repeat("x", 4<<10): true, strings.Repeat("x", 4<<10+1): false,
		"\x7f": false, "\u0080": false, "ä": false, "\xff": false, "日本": false,
	} {
		if got := looker.IsAccessToken(s); got != want {
			t.Errorf("%q is one: %v", s, got)
		}
	}
}

// asJSON is the body of one of Looker's errors.
func asJSON(message string) string { return `{"message":"` + message + `"}` }

func TestMessageIsCutAt200BytesBetweenCharacters(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for message, want := range map[string]string{
		"":                       "",
		"Not found":              "Not found",
		x(200):                   x(200),
		x(201):                   x(200) + "…",
		x(5000):                  x(200) + "…",
		x(198) + "ä":             x(198) + "ä",
		x(198) + "ä" + "x":       x(198) + "ä…",
		x(199) + "ä":             x(199) + "…",
		x(197) + "日" + "x":       x(197) + "日…",
		x(198) + "日":             x(198) + "…",
		x(199) + "日":             x(199) + "…",
		x(196) + "😀" + "x":       x(196) + "😀…",
		x(197) + "😀":             x(197) + "…",
		x(199) + "😀":             x(199) + "…",
		strings.Repeat("ä", 150): strings.Repeat("ä", 100) + "…",
	} {
		_, err := newClient(answering(404, nil, asJSON(message))).Login(t.Context(), anID, aSecret)
		if got := failed(t, err).Message; got != want {
			t.Errorf("%d bytes became %d:\n%s\nwant\n%s", len(message), len(got), got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	at := func(d time.Duration, layout string) string {
		return start.Add(d).Format(layout)
	}
	for value, want := range map[string]time.Duration{
		"0":                             0,
		"7":                             7 * time.Second,
		"007":                           7 * time.Second,
		"86399":                         24*time.Hour - time.Second,
		"86400":                         24 * time.Hour,
		"86401":                         24 * time.Hour,
		"9223372036854775808":           24 * time.Hour,
		"18446744073709551616":          24 * time.Hour,
		strings.Repeat("9", 1000):       24 * time.Hour,
		at(time.Minute, httpDate):       time.Minute,
		at(25*time.Hour, httpDate):      24 * time.Hour,
		at(time.Hour, time.RFC850):      time.Hour,
		at(time.Hour, time.ANSIC):       time.Hour,
		"Fri, 31 Dec 9999 23:59:59 GMT": 24 * time.Hour,

		// What cannot be read, and what has passed, says nothing.
		"":                              0,
		"-1":                            0,
		"+1":                            0,
		"1.5":                           0,
		"1e3":                           0,
		"0x10":                          0,
		" 7":                            0,
		"7 s":                           0,
		"soon":                          0,
		"٣":                             0, // a digit, but none of HTTP's
		at(0, httpDate):                 0,
		at(-time.Second, httpDate):      0,
		"Mon, 01 Jan 0001 00:00:00 GMT": 0,
		at(time.Hour, time.RFC3339):     0,
	} {
		header := http.Header{"Retry-After": {value}}
		_, err := newClient(answering(429, header, "")).Login(t.Context(), anID, aSecret)
		if got := failed(t, err).RetryAfter; got != want {
			t.Errorf("%q became %v, want %v", value, got, want)
		}
	}
}

const httpDate = http.TimeFormat

func TestRetryAfterADateCountsFromTheAnswer(t *testing.T) {
	mock := clock.NewMock()
	mock.Set(start)
	header := http.Header{"Retry-After": {start.Add(time.Minute).Format(httpDate)}}
	send := roundTripper(func(*http.Request) (*http.Response, error) {
		mock.Add(10 * time.Second)
		return respond(429, header, ""), nil
	})
	err := looker.New(root, true, send, mock.Now, "test").Logout(t.Context(), held)
	if got := failed(t, err).RetryAfter; got != 50*time.Second {
		t.Errorf("got %v", got)
	}
}
