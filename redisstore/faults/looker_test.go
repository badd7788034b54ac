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
	tokenHeader   = "X-Token"   // which Looker has taken
)

// looker stands before the fake Looker, and keeps the history of what that sees.
type looker struct {
	*lookertest.Server
	url     string // in place of the Server's
	history *history

	mu      sync.Mutex // guards what is below
	logins  []event    // all of them
	open    map[int]event
	changed chan struct{}
}

func newLooker(t *testing.T, opts ...lookertest.Option) *looker {
	t.Helper()
	l := &looker{
		Server:  lookertest.New(t, opts...),
		history: new(history),
		open:    map[int]event{},
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
	default:
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
	e.login = len(l.logins)
	l.logins, l.open[e.login] = append(l.logins, e), e
	l.history.add(e)
	l.change()
	l.mu.Unlock()

	end := func(tokens ...string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, e.login)
		ended := e
		ended.kind, ended.tokens = ends, tokens
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

// await waits until so many logins with a lease are under way by the process.
func (l *looker) await(t *testing.T, process string, n int) {
	t.Helper()
	timeout := time.After(guard)
	for {
		l.mu.Lock()
		held, changed := 0, l.changed
		for _, e := range l.open {
			if e.process == process && !e.leased.IsZero() {
				held++
			}
		}
		l.mu.Unlock()
		if held >= n {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s has %d leases, not %d", process, held, n)
		}
	}
}
