// Package lookertest is a fake Looker API to test against: the programs that use lookerauth, and lookerauth itself.
//
//	looker := lookertest.NewServer(nil)
//	defer looker.Close()
//	cache, err := lookerauth.New(looker.Config())
//
// It serves, under /api/3.0, /api/3.1 and /api/4.0, login, login_user and logout, GET /user, GET and PATCH /session, and GET
// /alive, as Looker documents them. Every other path below answers who is calling, and with what:
//
//	{"user_id":"789","method":"GET","path":"/looks/1","body":""}
//
// It tells tokens' lives by the clock it is given, so a test with a fake clock sees them expire when it wants. It counts calls,
// and can be made to fail in all the ways a Looker instance and the network before it do: see Fail.
package lookertest

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth"
)

// Op is one kind of call.
type Op string

// The kinds of call that a Server counts and fails.
const (
	Login     Op = "login"      // POST /login
	LoginUser Op = "login_user" // POST /login/{user_id}
	Logout    Op = "logout"     // DELETE /logout
	Request   Op = "request"    // everything else
)

// ServiceAccount stands for the service account where a user id is asked for.
const ServiceAccount = ""

// ServiceAccountID is the user id that the service account has at Looker, as GET /user shows it.
const ServiceAccountID = "1"

// Server is a fake Looker API. Its zero value is of no use: start one with NewServer or NewInMemoryServer. All its methods are
// safe for concurrent use and do not block, but for Close.
type Server struct {
	// URL is the base URL, without /api/4.0.
	URL string

	clock     lookerauth.Clock
	server    *httptest.Server
	transport *http.Transport
	closed    chan struct{} // closed by Close, which ends what stalls
	closeOnce sync.Once

	mu           sync.Mutex // guards what is below
	clientID     string
	clientSecret string
	admin        bool            // whether the service account may call login_user
	users        map[string]bool // nil: every user exists
	life         time.Duration   // of new tokens
	sessions     map[string]*session
	calls        map[Call]int
	faults       map[Op]*plannedFault
	faultFunc    func(Call) *Fault
}

// session is what a token stands for.
type session struct {
	userID      string // ServiceAccount or a user's
	expiry      time.Time
	workspaceID string
}

// Call is one call that a Server got.
type Call struct {
	Op     Op
	UserID string // whom it is for: the user to log in, or the one whose token it has; ServiceAccount for all others
}

// NewServer starts a Server on a free port of the loopback interface. clock is the time its tokens live in, and should be the
// Config's; nil stands for the time package's.
func NewServer(clock lookerauth.Clock) *Server {
	return start(clock, httptest.NewUnstartedServer(nil), nil)
}

// NewInMemoryServer starts a Server without a network: only its Config and its Transport reach it. It is for tests within a
// bubble of testing/synctest, in which time stands still while something waits for a real network.
func NewInMemoryServer(clock lookerauth.Clock) *Server {
	listener := newPipeListener()
	return start(clock, &httptest.Server{Listener: listener, Config: &http.Server{}}, listener.dial)
}

func start(c lookerauth.Clock, server *httptest.Server, dial func(context.Context, string, string) (net.Conn, error)) *Server {
	if c == nil {
		c = clock.New()
	}
	s := &Server{
		clock:        c,
		server:       server,
		transport:    &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 100},
		closed:       make(chan struct{}),
		clientID:     "id-" + rand.Text(),
		clientSecret: "secret-" + rand.Text(),
		admin:        true,
		life:         time.Hour,
		sessions:     make(map[string]*session),
		calls:        make(map[Call]int),
		faults:       make(map[Op]*plannedFault),
	}
	server.Config.Handler = s.routes()
	server.Start()
	s.URL = server.URL
	return s
}

// Close ends the Server and every call in it, and waits for them.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closed) })
	s.transport.CloseIdleConnections()
	s.server.Close()
}

// Config returns a Config for this Server: its URL, its key, its clock, and a Transport to reach it.
func (s *Server) Config() lookerauth.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return lookerauth.Config{
		BaseURL:      s.URL,
		ClientID:     s.clientID,
		ClientSecret: s.clientSecret,
		Transport:    s.transport,
		Clock:        s.clock,
	}
}

// Transport returns the transport that reaches the Server, for a Transport of lookerauth to stand on.
func (s *Server) Transport() http.RoundTripper { return s.transport }

// SetKey changes the API key that login accepts. Tokens that are alive stay so.
func (s *Server) SetKey(clientID, clientSecret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clientID, s.clientSecret = clientID, clientSecret
}

// SetAdmin says whether the service account may act as other users. It may at first.
func (s *Server) SetAdmin(admin bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admin = admin
}

// SetUsers says which users exist; none if it is given none. At first every id does.
func (s *Server) SetUsers(userIDs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = make(map[string]bool)
	for _, userID := range userIDs {
		s.users[userID] = true
	}
}

// SetTokenLife sets how long new tokens live; an hour at first. Logins answer it in whole seconds: use one or more.
func (s *Server) SetTokenLife(life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = life
}

// Revoke kills all tokens of one identity, and returns how many were alive.
func (s *Server) Revoke(userID string) int {
	return s.kill(func(tokenOwner string) bool { return tokenOwner == userID })
}

// RevokeAll kills all tokens, and returns how many were alive.
func (s *Server) RevokeAll() int {
	return s.kill(func(string) bool { return true })
}

func (s *Server) kill(which func(userID string) bool) int {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	alive := 0
	maps.DeleteFunc(s.sessions, func(_ string, session *session) bool {
		if !which(session.userID) {
			return false
		}
		if now.Before(session.expiry) {
			alive++
		}
		return true
	})
	return alive
}

// Alive returns how many tokens of each identity are alive. An identity that has none is not in it.
func (s *Server) Alive() map[string]int {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	alive := make(map[string]int)
	for _, session := range s.sessions {
		if now.Before(session.expiry) {
			alive[session.userID]++
		}
	}
	return alive
}

// Calls returns how many calls of this kind came, those that were made to fail included.
func (s *Server) Calls(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for call, count := range s.calls {
		if call.Op == op {
			n += count
		}
	}
	return n
}

// CallsAs returns how many calls of this kind came for one identity, those that were made to fail included.
func (s *Server) CallsAs(op Op, userID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[Call{op, userID}]
}

// errNoListener: the in-memory server was closed.
var errNoListener = errors.New("lookertest: the server is closed")

// pipeListener connects dial and Accept through net.Pipe.
type pipeListener struct {
	conns     chan net.Conn
	closed    chan struct{}
	closeOnce sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return nil
}

// Addr is an address of the loopback interface, for which a Config accepts http://. Nobody listens there.
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, errNoListener
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
