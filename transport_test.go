package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestIdentityComesFromTheContext(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		client := &http.Client{Transport: newCache(t, looker).Transport(nil)}
		asUser := lookerauth.WithUser(t.Context(), "789")
		answersContextAs(t, asUser, client, looker, "789")
		asService := lookerauth.WithServiceAccount(asUser)
		answersContextAs(t, asService, client, looker, lookertest.ServiceAccountID)
		asAnother := lookerauth.WithUser(asService, "790")
		answersContextAs(t, asAnother, client, looker, "790")
	})
}

func TestRequestWithoutIdentityIsRefused(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		client := &http.Client{Transport: newCache(t, looker).Transport(nil)}
		for ctx, want := range map[context.Context]error{
			t.Context():                          lookerauth.ErrNoIdentity,
			lookerauth.WithUser(t.Context(), ""): lookerauth.ErrInvalidIdentity,
		} {
			body := &closeRecorder{Reader: strings.NewReader("body")}
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, looker.URL+looks, body)
			_, err := client.Do(req)
			checkError(t, err, want)
			if !body.closed {
				t.Error("the body was not closed")
			}
		}
		if n := looker.Count(lookertest.OpAPI, ""); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

func TestSourcesTransportIgnoresTheContextsIdentity(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		ctx := lookerauth.WithServiceAccount(t.Context())
		answersContextAs(t, ctx, cache.User("789").Client(), looker, "789")
	})
}

func TestSloppyBaseDoesNoHarm(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		for _, answer := range []*http.Response{nil, {StatusCode: http.StatusUnauthorized}} {
			base := roundTripper(func(*http.Request) (*http.Response, error) { return answer, nil })
			req, _ := http.NewRequest(http.MethodGet, looker.URL, nil)
			if resp, err := user.Transport(base).RoundTrip(req); resp != answer || err != nil {
				t.Errorf("got %v, %v", resp, err)
			}
		}
	})
}

func TestBasesErrorIsTheCallers(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		broken := errors.New("broken")
		base := roundTripper(func(*http.Request) (*http.Response, error) { return nil, broken })
		req, _ := http.NewRequest(http.MethodGet, looker.URL, nil)
		if _, err := newCache(t, looker).User("789").Transport(base).RoundTrip(req); err != broken {
			t.Errorf("got %v", err)
		}
	})
}

func TestIdleConnectionsOfTheBaseAreClosed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		base := &idler{}
		(&http.Client{Transport: cache.Transport(base)}).CloseIdleConnections()
		cache.Transport(roundTripper(nil)).CloseIdleConnections() // cannot, and that is fine
		if base.closed != 1 {
			t.Errorf("closed %d times", base.closed)
		}
	})
}

func TestCallersRequestIsNotTouched(t *testing.T) {
	lowerCase := strings.ToLower("Authorization") // not what http.Header makes of it
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		header := http.Header{
			"Authorization": {"Basic mine"}, lowerCase: {"Basic lower"},
			"X-Two": {"a", "b"}, "X-Nil": nil,
		}
		req, _ := http.NewRequest(http.MethodPost, looker.URL+looks, strings.NewReader("hello"))
		req.Header = header.Clone()
		before := *req

		var sent http.Header
		base := roundTripper(func(r *http.Request) (*http.Response, error) {
			sent = r.Header.Clone()
			r.Header["X-Two"] = append(r.Header["X-Two"], "c")
			r.Header["X-Two"][0] = "changed"
			r.Header.Set("X-New", "new")
			return looker.Transport().RoundTrip(r)
		})
		resp, err := newCache(t, looker).User("789").Transport(base).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAnswer(t, resp); got.UserID != "789" || got.Body != "hello" {
			t.Errorf("answered %+v", got)
		}
		if !maps.EqualFunc(req.Header, header, func(a, b []string) bool {
			return strings.Join(a, "|") == strings.Join(b, "|") && (a == nil) == (b == nil)
		}) {
			t.Errorf("the caller's header became %v", req.Header)
		}
		if req.Body != before.Body || req.URL != before.URL || req.Context() != before.Context() {
			t.Error("the caller's request was changed")
		}
		shown := resp.Request.Header
		if resp.Request.URL != req.URL || shown.Get("Authorization") != "[replaced]" ||
			shown[lowerCase] != nil || shown.Get("X-Two") != "a" {
			t.Errorf("the response says that the request had the header %v", shown)
		}
		values := sent["Authorization"]
		if len(values) != 1 || !strings.HasPrefix(values[0], "token ") || sent[lowerCase] != nil {
			t.Errorf("Authorization was sent as %d values, and %v", len(values), sent[lowerCase])
		}
		if _, ok := sent["X-Nil"]; !ok {
			t.Error("a nil header was lost, which tells net/http not to set it")
		}
	})
}

// countingConn counts how often it is written to.
type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// net/http does so with bodies of which it knows that they are in memory.
func TestSmallBodyIsSentTogetherWithItsHeader(t *testing.T) {
	looker := lookertest.New(t)
	var writes atomic.Int64
	base := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return countingConn{conn, &writes}, err
		},
	}
	defer base.CloseIdleConnections()
	user := newCache(t, looker).User("789")
	accessToken(t, user)
	client := &http.Client{Transport: user.Transport(base)}
	for range 10 {
		resp, err := client.Post(looker.URL+looks, "application/json", strings.NewReader(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := readAnswer(t, resp); got.Body != `{"a":1}` {
			t.Errorf("answered %+v", got)
		}
	}
	if n := writes.Load(); n != 10 {
		t.Errorf("10 requests were sent in %d writes", n)
	}
}

func TestResponseShowsTheCallersRequest(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		req, _ := http.NewRequest(http.MethodGet, looker.URL+looks, nil)
		resp, err := newCache(t, looker).User("789").Transport(nil).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Request != req {
			t.Errorf("it shows %v", resp.Request)
		}
	})
}

func TestHeaderOfAnySizeIsSentWhole(t *testing.T) {
	for values := range 20 {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			req, _ := http.NewRequest(http.MethodGet, looker.URL, nil)
			for i := range values {
				req.Header.Add(fmt.Sprint("X-Half-", i/2), fmt.Sprint(i))
			}
			want := req.Header.Clone()
			base := roundTripper(func(r *http.Request) (*http.Response, error) {
				want.Set("Authorization", r.Header.Get("Authorization"))
				if !reflect.DeepEqual(r.Header, want) {
					t.Errorf("sent %v, want %v", r.Header, want)
				}
				for name := range r.Header {
					// It must not end up in the next one.
					r.Header[name] = append(r.Header[name], "new")
				}
				for name, values := range r.Header {
					if len(values) != len(want[name])+1 || values[0] != want[name][0] {
						t.Errorf("%s became %v", name, values)
					}
				}
				return respond(http.StatusOK, nil, ""), nil
			})
			_, err := newCache(t, looker).User("789").Transport(base).RoundTrip(req)
			checkError(t, err, nil)
		})
	}
}

func TestRoundTripAllocatesThrice(t *testing.T) {
	looker := lookertest.New(t, lookertest.InMemory())
	cache := newCache(t, looker, withTransport(answerLogins()))
	answer := &http.Response{StatusCode: http.StatusOK}
	base := roundTripper(func(*http.Request) (*http.Response, error) { return answer, nil })
	ctx := lookerauth.WithUser(t.Context(), "789")
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, looker.URL, nil)
	for i := range 4 {
		req.Header.Set(fmt.Sprint("X-", i), "value")
	}
	for name, transport := range map[string]*lookerauth.Transport{
		"a TokenSource's": cache.User("789").Transport(base),
		"a Cache's":       cache.Transport(base),
	} {
		// The request with room for the header's values, the header's map, and the one group of
		// entries in that.
		if n := testing.AllocsPerRun(100, func() { must(transport.RoundTrip(req)) }); n > 3 {
			t.Errorf("%s Transport: %v allocations", name, n)
		}
	}
}
