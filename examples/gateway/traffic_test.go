package main

import (
	"fmt"
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

// 50 programs send 5,000 requests, while tokens are revoked at Looker. No request meets more than
// one revocation, as the programs wait for each other after each.
func TestRevocationsUnderTrafficAreNotNoticed(t *testing.T) {
	const rounds, programs, each = 20, 50, 5
	s := startAtFake(t)
	users := []string{"789", "790", "791"}
	key := s.login(t, testKeys[0])
	tokens := []string{key, s.loginUser(t, key, "790"), s.loginUser(t, key, "791")}
	for round := range rounds {
		var sent atomic.Int64
		var group sync.WaitGroup
		for program := range programs {
			group.Go(func() {
				user, token := users[program%3], tokens[program%3]
				for i := range each {
					body := fmt.Sprint(round, program, i)
					status, got := s.call(t, token, "POST", "/looks/1", strings.NewReader(body))
					if status != http.StatusOK || got.UserID != user || got.Body != body {
						t.Errorf("user %s was answered %d %+v", user, status, got)
					}
					if sent.Add(1) == programs*each/2 {
						s.revoke(users, round)
					}
				}
			})
		}
		group.Wait()
	}
	if n := s.cache.Stats().Replays; n == 0 {
		t.Error("no request met a revocation")
	}
}

// revoke ends the tokens of one user, or now and then all of them.
func (s *served) revoke(users []string, round int) {
	if round%4 == 3 {
		s.looker.RevokeAll()
		return
	}
	s.looker.Revoke(users[round%4])
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
