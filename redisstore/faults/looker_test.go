//go:build unix

package faults

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// Headers of a request, by which a process says what it does, and of the answer.
const (
	processHeader = "X-Process" // its name
	leasedHeader  = "X-Leased"  // when it began to take the login's lease, in Unix nanoseconds
	userHeader    = "X-User"    // whom the request acts as
	begunHeader   = "X-Begun"   // when it was begun, in the history
	tokenHeader   = "X-Token"   // which came with it
)

// looker stands before the fake Looker, and keeps the history of what that sees.
type looker struct {
	*lookertest.Server
	url     string // in place of the Server's
	history *history

	mu      sync.Mutex // guards what is below
	logins  []event    // all of them
	open    map[int]event
	issued  map[string]event // by token
	logouts []event          // granted, with one token each
	changed chan struct{}
}

func newLooker(t *testing.T, opts ...lookertest.Option) *looker {
	t.Helper()
	l := &looker{
		Server:  lookertest.New(t, opts...),
		history: new(history),
		open:    map[int]event{},
		issued:  map[string]event{},
		changed: make(chan struct{}),
	}
	front := httptest.NewServer(l)
	t.Cleanup(front.Close)
	l.url = front.URL
	return l
}

func (l *looker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answered func(*http.Response) error
	failed := func() {}
	process, path := r.Header.Get(processHeader), strings.TrimPrefix(r.URL.Path, "/api/4.0")
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case r.Method == http.MethodPost && strings.HasPrefix(path, "/login"):
		answered, failed = l.login(process, path, r.Header.Get(leasedHeader))
	case r.Method == http.MethodDelete && path == "/logout":
		answered = func(answer *http.Response) error {
			if answer.StatusCode >= http.StatusInternalServerError {
				return nil
			}
			l.mu.Lock() // it has ended now, or before
			defer l.mu.Unlock()
			l.logouts = append(l.logouts, event{process: process, tokens: []string{token}})
			return nil
		}
	default:
		begun, _ := strconv.ParseInt(r.Header.Get(begunHeader), 10, 64)
		e := event{kind: serves, process: process, identity: r.Header.Get(userHeader)}
		e.tokens = []string{token}
		if begun > 0 { // it is part of a history
			l.history.end(begun, e)
		}
		answered = func(answer *http.Response) error {
			answer.Header.Set(tokenHeader, token)
			return nil
		}
	}
	target, _ := url.Parse(l.URL)
	proxy := httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: answered,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { // the caller has left
			failed()
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
}

// login notes that a login has begun. It returns what has to be called at its end.
func (l *looker) login(process, path, leased string) (func(*http.Response) error, func()) {
	e := event{kind: begins, process: process, identity: "service", at: time.Now()}
	if userID, ok := strings.CutPrefix(path, "/login/"); ok {
		e.identity = userID
	}
	if nanoseconds, err := strconv.ParseInt(leased, 10, 64); err == nil {
		e.leased = time.Unix(0, nanoseconds)
	}
	l.mu.Lock()
	e.number = len(l.logins)
	l.logins, l.open[e.number] = append(l.logins, e), e
	l.history.add(e)
	l.change()
	l.mu.Unlock()

	end := func(tokens ...string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, e.number)
		ended := e
		ended.kind, ended.tokens = ends, tokens
		for _, t := range tokens {
			l.issued[t] = e
		}
		l.history.add(ended)
		l.change()
	}
	answered := func(answer *http.Response) error {
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		answer.Body = io.NopCloser(bytes.NewReader(body))
		var issued struct {
			AccessToken string `json:"access_token"`
		}
		if json.Unmarshal(body, &issued) != nil || issued.AccessToken == "" {
			end()
		} else {
			end(issued.AccessToken)
		}
		return nil
	}
	return answered, func() { end() }
}

// change wakes those who wait for something. It is called with the lock held.
func (l *looker) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// await waits until so many logins with a lease are under way by the process, and does f then,
// while none of them ends. It reports whether it has, before done is closed.
func (l *looker) await(process string, n int, done <-chan struct{}, f func()) bool {
	for {
		l.mu.Lock()
		if l.leases(process) >= n {
			f()
			l.mu.Unlock()
			return true
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

// leases is how many logins with a lease the process has under way. mu is held.
func (l *looker) leases(process string) (n int) {
	for _, e := range l.open {
		if e.process == process && !e.leased.IsZero() {
			n++
		}
	}
	return n
}

// endedSince returns the identity's tokens that the process has logged out since there were n
// logouts.
func (l *looker) endedSince(n int, process, identity string) (tokens []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.logouts[n:] {
		t := e.tokens[0]
		if e.process == process && l.issued[t].identity == identity {
			tokens = append(tokens, t)
		}
	}
	return tokens
}

// issuer is the process that a token was issued to.
func (l *looker) issuer(token string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.issued[token].process
}

// isLoggedOut reports whether somebody has logged this token out.
func (l *looker) isLoggedOut(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.logouts, func(e event) bool { return e.tokens[0] == token })
}

func (l *looker) countLogouts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.logouts)
}
