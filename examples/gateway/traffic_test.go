package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var rate = flag.Int("rate", 0, "requests a `second` under revocations; 0: as many as go")

// 50 programs send 5,000 requests, while tokens of random users are revoked at Looker. Each request
// may meet one revocation, and none meets a second one: there is one in each round, when every user
// has a token that is alive, and the next round begins when all is answered.
func TestRevocationsUnderTrafficAreNotNoticed(t *testing.T) {
	const rounds, programs, each = 20, 50, 5
	s := startAtFake(t)
	users := []string{"789", "790", "791"}
	key := s.login(t, testKeys[0])
	tokens := []string{key, s.loginUser(t, key, "790"), s.loginUser(t, key, "791")}
	began := time.Now()
	for round := range rounds {
		revokeAt := 1 + rand.Int64N(programs*each)
		var sent atomic.Int64
		var group sync.WaitGroup
		for program := range programs {
			group.Go(func() {
				user, token := users[program%3], tokens[program%3]
				for i := range each {
					keepRate(began, (round*each+i)*programs+program)
					body := fmt.Sprint(round, program, i)
					status, got := s.call(t, token, "POST", "/looks/1", strings.NewReader(body))
					if status != http.StatusOK || got.UserID != user || got.Body != body {
						t.Errorf("user %s was answered %d %+v", user, status, got)
					}
					if sent.Add(1) == revokeAt {
						s.revoke(users)
					}
				}
			})
		}
		group.Wait()
		for i, user := range users {
			s.want(t, tokens[i], http.StatusOK, user)
		}
	}
	took, replays := time.Since(began), s.cache.Stats().Replays
	const requests = rounds * programs * each
	t.Logf("%d requests in %.1f s, %.0f a second; %d revocations, %d requests sent again",
		requests, took.Seconds(), requests/took.Seconds(), rounds, replays)
	if replays < rounds {
		t.Errorf("%d requests were sent again after %d revocations", replays, rounds)
	}
}

// keepRate waits until it is the turn of the request with this number.
func keepRate(began time.Time, number int) {
	if *rate > 0 {
		due := began.Add(time.Duration(number) * time.Second / time.Duration(*rate))
		time.Sleep(time.Until(due))
	}
}

// revoke ends the tokens of one user, or now and then all of them.
func (s *served) revoke(users []string) {
	if i := rand.IntN(len(users) + 1); i < len(users) {
		s.looker.Revoke(users[i])
		return
	}
	s.looker.RevokeAll()
}

// BenchmarkBesideAReverseProxy sends each request through the gateway, and through a ReverseProxy
// that does nothing but put a token on it, in turn. It reports the ratio of their times.
func BenchmarkBesideAReverseProxy(b *testing.B) {
	s := startAtFake(b)
	token := s.login(b, testKeys[0])
	bare := s.startBareProxy(b)
	times := make(map[string]time.Duration)
	send := func(url string) {
		req, err := http.NewRequestWithContext(b.Context(), "GET", url+"/api/4.0/user", nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "token "+token)
		began := time.Now()
		resp, err := s.client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
		times[url] += time.Since(began)
		if resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
	}
	for b.Loop() {
		send(bare)
		send(s.URL)
	}
	b.ReportMetric(float64(times[s.URL])/float64(times[bare]), "gateway/bare")
}

// startBareProxy starts a ReverseProxy to the same Looker, and returns its URL.
func (s *served) startBareProxy(b *testing.B) string {
	b.Helper()
	lookers, err := s.cache.User("789").Token()
	if err != nil {
		b.Fatal(err)
	}
	target, err := url.Parse(s.looker.URL)
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Transport: s.looker.Transport(),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Set("Authorization", "token "+lookers.AccessToken)
		},
	})
	b.Cleanup(server.Close)
	return server.URL
}
