package bench

import (
	"context"
	"net/http"
	"reflect"
	"testing"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
)

// sink is a base that does nothing: it keeps the last request, and has one response for all. It is
// one goroutine's.
type sink struct {
	last     *http.Request
	response http.Response
}

func (s *sink) RoundTrip(req *http.Request) (*http.Response, error) {
	s.last = req
	return &s.response, nil
}

// ownSink is a base that hands a request to the sink in its context: the goroutines share a
// Transport, but no response.
type ownSink struct{}

type sinkKey struct{}

func (ownSink) RoundTrip(req *http.Request) (*http.Response, error) {
	return req.Context().Value(sinkKey{}).(http.RoundTripper).RoundTrip(req)
}

// lookerHeader is the header of a request to Looker with userID's token.
var lookerHeader = "token " + tokenOf(userID)

// roundTripContestants put userID's token on requests.
var roundTripContestants = []struct {
	name          string
	authorization string // the header that it sends
	open          func(base http.RoundTripper) http.RoundTripper
}{
	{"lookerauth", lookerHeader, func(base http.RoundTripper) http.RoundTripper {
		return new(looker).newCache(1).User(userID).Transport(base)
	}},
	{"lookerauth-context", lookerHeader, func(base http.RoundTripper) http.RoundTripper {
		return new(looker).newCache(1).Transport(base)
	}},
	{"xoauth2", "Bearer " + tokenOf(userID), func(base http.RoundTripper) http.RoundTripper {
		return &oauth2.Transport{Source: newOAuth2(tokenOf(userID)), Base: base}
	}},
	{"ghinstallation", "token " + tokenOf(userID), func(base http.RoundTripper) http.RoundTripper {
		return newGitHub(base, tokenOf(userID))
	}},
	// The floor, which puts no token on anything.
	{"base", "", func(base http.RoundTripper) http.RoundTripper { return base }},
}

// newRequest returns a request of the user's with four headers, which ends in the sink.
func newRequest(tb testing.TB, end http.RoundTripper) *http.Request {
	ctx := lookerauth.WithUser(context.WithValue(tb.Context(), sinkKey{}, end), userID)
	const url = lookerURL + "/api/4.0/looks/1/run/json"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Language", "en")
	req.Header.Set("User-Agent", "bench")
	req.Header.Set("X-Request-Id", "1")
	return req
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, contestant := range roundTripContestants {
		b.Run(contestant.name, func(b *testing.B) {
			transport := contestant.open(ownSink{})
			if _, err := transport.RoundTrip(newRequest(b, new(sink))); err != nil { // logs in
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				end := new(sink)
				req := newRequest(b, end)
				for pb.Next() {
					if _, err := transport.RoundTrip(req); err != nil {
						b.Error(err)
						break
					}
				}
				if end.last == nil { // this goroutine got no turn
					return
				}
				if got := end.last.Header.Get("Authorization"); got != contestant.authorization {
					b.Errorf("sent the header %q, want %q", got, contestant.authorization)
				}
			})
		})
	}
}

func TestRoundTripContestantsSendTheTokenInACopy(t *testing.T) {
	for _, contestant := range roundTripContestants {
		t.Run(contestant.name, func(t *testing.T) {
			end := new(sink)
			req := newRequest(t, end)
			before := req.Header.Clone()
			want := req.Header.Clone()
			if contestant.authorization != "" {
				want.Set("Authorization", contestant.authorization)
			}

			if _, err := contestant.open(ownSink{}).RoundTrip(req); err != nil {
				t.Fatal(err)
			}

			if !reflect.DeepEqual(end.last.Header, want) {
				t.Errorf("sent the header %v, want %v", end.last.Header, want)
			}
			if !reflect.DeepEqual(req.Header, before) {
				t.Errorf("the caller's header is %v now, was %v", req.Header, before)
			}
		})
	}
}
