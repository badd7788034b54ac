package lookerauth_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestRevokedTokenIsReplacedByOneLogin(t *testing.T) {
	looker := lookertest.New(t)
	cache := newCache(t, looker)
	user := cache.User("789")
	accessToken(t, user)
	looker.Revoke("789")

	client := user.Client()
	together(500, func(int) {
		resp, err := client.Post(looker.URL+looks, "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Error(err)
			return
		}
		if got := readAnswer(t, resp); got.UserID != "789" || got.Body != "hello" {
			t.Errorf("answered %+v", got)
		}
	})
	checkCalls(t, looker, 1, 2)
	stats := cache.Stats()
	if stats.Rejections != 1 || stats.Replays == 0 {
		t.Errorf("%+v", stats)
	}
}

func TestBodyThatCannotBeSentAgainGetsThe401(t *testing.T) {
	broken := func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	for name, getBody := range map[string]func() (io.ReadCloser, error){
		"no GetBody": nil, "broken GetBody": broken,
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				user := newCache(t, looker).User("789")
				accessToken(t, user)
				looker.Revoke("789")
				post := func() *http.Response {
					body := &closeRecorder{Reader: strings.NewReader("hello")}
					req, _ := http.NewRequest(http.MethodPost, looker.URL+looks, body)
					req.GetBody = getBody
					resp, err := user.Client().Do(req)
					if err != nil {
						t.Fatal(err)
					}
					if !body.closed {
						t.Error("the body was not closed")
					}
					return resp
				}
				resp := post()
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != http.StatusUnauthorized ||
					!strings.Contains(string(text), "Requires authentication.") {
					t.Errorf("%s: %s, %v", resp.Status, text, err)
				}
				if got := readAnswer(t, post()); got.UserID != "789" || got.Body != "hello" {
					t.Errorf("the next request was answered %+v", got)
				}
				checkCalls(t, looker, 1, 2)
			})
		})
	}
}

func TestEndpointThatAlwaysAnswers401CausesNoStorm(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		failing(looker, lookertest.OpAPI, answered(http.StatusUnauthorized))
		client := user.Client()
		post := func() {
			resp, err := client.Post(looker.URL+looks, "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusUnauthorized || len(text) == 0 {
				t.Errorf("%s: %s", resp.Status, text)
			}
		}
		for range 100 { // in 10 seconds
			post()
			time.Sleep(10*time.Second/100 - time.Microsecond) // the last one comes just within them
		}
		post()
		checkCalls(t, looker, 1, 2)
		if n := looker.Count(lookertest.OpAPI, ""); n != 102 {
			t.Errorf("101 requests were sent as %d, want one of them twice", n)
		}
		time.Sleep(time.Millisecond)
		post()
		checkCalls(t, looker, 1, 3)
	})
}

// Another process replaces the token again and again while the request is under way.
func TestRequestIsSentThreeTimesAtMost(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		store := newMemoryStore()
		user := newCache(t, looker, withStore(store)).User("789")
		other := newCache(t, looker, withStore(store)).User("789")
		sent := make(map[string]bool)
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			sent[req.Header.Get("Authorization")] = true
			time.Sleep(10 * time.Second)
			invalidate(t, other)
			accessToken(t, other)
			return respond(http.StatusUnauthorized, nil, ""), nil
		})
		client := &http.Client{Transport: user.Transport(base)}
		status := statusOf(t, client, looker.URL+looks)
		if status != http.StatusUnauthorized || len(sent) != 3 {
			t.Errorf("sent with %d tokens, and answered %d", len(sent), status)
		}
	})
}

func TestReplayClosesThe401sBody(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		body := &closeRecorder{Reader: strings.NewReader("Requires authentication.")}
		answers := []*http.Response{
			{StatusCode: http.StatusUnauthorized, Body: body},
			respond(http.StatusOK, nil, ""),
		}
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			defer func() { answers = answers[1:] }()
			return answers[0], nil
		})
		req, _ := http.NewRequest(http.MethodGet, looker.URL, nil)
		resp, err := newCache(t, looker).User("789").Transport(base).RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("got %v, %v", resp, err)
		}
		if !body.closed {
			t.Error("the body of the 401 was not closed")
		}
	})
}

func TestFailedReplacementGivesThe401(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		looker.Revoke("789")
		failing(looker, lookertest.OpLoginUser, answered(http.StatusForbidden))
		resp, err := user.Client().Post(looker.URL+looks, "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %s", resp.Status)
		}
		_, err = user.Client().Get(looker.URL + looks) // the next request
		checkError(t, err, lookerauth.ErrForbidden)
	})
}
