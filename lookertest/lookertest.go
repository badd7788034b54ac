// Package lookertest is a fake Looker API. Programs that use lookerauth are tested against it, and
// lookerauth itself is, too.
//
//	looker := lookertest.NewServer(nil)
//	defer looker.Close()
//	cache, err := lookerauth.New(looker.Config())
//
// Below /api/3.0, /api/3.1 and /api/4.0 it serves, as Looker documents them, login, login_user,
// logout, GET /user, GET and PATCH /session, and GET /alive. Every other path below these answers
// who is calling, and with what:
//
//	{"user_id":"789","method":"GET","path":"/looks/1","body":""}
//
// A [Server] counts the calls that it gets. With [Server.Fail] and [Server.FailFunc] it fails in
// all the ways in which a Looker instance and the network before it do. Its tokens expire by the
// clock that it is given: with a fake clock a test decides when.
package lookertest

import (
	"context"
	"crypto/rand"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth"
)

// Op is a kind of call. The zero Op is none.
type Op string

// The kinds of call that a [Server] counts and fails.
const (
	Login     Op = "login"      // POST /login
	LoginUser Op = "login_user" // POST /login/{user_id}
	Logout    Op = "logout"     // DELETE /logout
	Request   Op = "request"    // everything else
)

// ServiceAccount stands for the service account where [Call], [Server.Revoke], [Server.Alive] and
// [Server.CallsAs] have a user id.
const ServiceAccount = ""

// ServiceAccountID is the id of the service account in answers, such as that of GET /user.
const ServiceAccountID = "1"

// Server is a fake Looker API. Its zero value is of no use: start one with [NewServer] or
// [NewInMemoryServer], and end it with [Server.Close]. Its methods are safe for concurrent use.
// None of them blocks, but for [Server.Close].
type Server struct {
	// URL is the base URL, without /api/4.0 and without a slash at the end. Do not change it.
	URL string

	clock     lookerauth.Clock
	server    *httptest.Server
	transport *http.Transport
	closed    chan struct{} // closed by Close, which ends the delays
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

// Call is one call that a [Server] got. It is comparable.
type Call struct {
	// Op is its kind.
	Op Op

	// UserID is whom it is for: the user to log in, or the one whose token it has. It is
	// [ServiceAccount] for all other calls, those without a live token among them.
	UserID string
}

// NewServer starts a [Server] on a free port of the loopback interface. It panics if there is none.
//
// Its tokens live, and its delays pass, by clock. Use the clock of the [lookerauth.Config], as
// [Server.Config] does. A nil clock stands for the time package's.
func NewServer(clock lookerauth.Clock) *Server {
	return start(clock, httptest.NewUnstartedServer(nil), nil)
}

// NewInMemoryServer starts a [Server] without a network. Only its [Server.Config] and its
// [Server.Transport] reach it.
//
// It is for tests within a bubble of testing/synctest, where time stands still while something
// waits for a real network. Start and close it within the bubble. clock is that of [NewServer].
func NewInMemoryServer(clock lookerauth.Clock) *Server {
	listener := newPipeListener()
	return start(clock, &httptest.Server{Listener: listener, Config: &http.Server{}}, listener.dial)
}

// dialer is what an http.Transport dials with; net's if it is nil.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

func start(c lookerauth.Clock, server *httptest.Server, dial dialer) *Server {
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

// Close ends the Server and its delays, and waits until the calls in it have ended. It may be
// called again.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closed) })
	s.transport.CloseIdleConnections()
	s.server.Close()
}

// Config returns a [lookerauth.Config] for this Server, to be changed at will. It has the URL, the
// API key, the clock, and the [Server.Transport].
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

// Transport returns what reaches the Server. It adds no token: it is for calls without lookerauth,
// and the base for what a test puts between. It is the same one each time.
func (s *Server) Transport() http.RoundTripper { return s.transport }

// SetKey changes the API key that login accepts. Before that it is a random one. Tokens that are
// alive stay so.
func (s *Server) SetKey(clientID, clientSecret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clientID, s.clientSecret = clientID, clientSecret
}

// SetAdmin says whether the service account may act as other users, with login_user. Before that
// it may.
func (s *Server) SetAdmin(admin bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admin = admin
}

// SetUsers says which users exist: these, and no others. Before that every id does. Tokens that are
// alive stay so.
func (s *Server) SetUsers(userIDs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = make(map[string]bool)
	for _, userID := range userIDs {
		s.users[userID] = true
	}
}

// SetTokenLife sets how long new tokens live. Before that it is an hour. Use whole seconds, as
// logins answer those, and at least one.
func (s *Server) SetTokenLife(life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = life
}

// Revoke ends all tokens of a user, or of the [ServiceAccount], and returns how many were alive.
// Requests with one of them are answered with 401 from then on.
func (s *Server) Revoke(userID string) int {
	return s.revokeIf(func(owner string) bool { return owner == userID })
}

// RevokeAll ends all tokens, those of the service account too, and returns how many were alive.
func (s *Server) RevokeAll() int {
	return s.revokeIf(func(string) bool { return true })
}

func (s *Server) revokeIf(owned func(userID string) bool) int {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	alive := 0
	maps.DeleteFunc(s.sessions, func(_ string, session *session) bool {
		if !owned(session.userID) {
			return false
		}
		if now.Before(session.expiry) {
			alive++
		}
		return true
	})
	return alive
}

// Alive returns how many tokens of each user are alive, and of the [ServiceAccount]. Who has none
// is not in it. The map is the caller's.
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

// Calls returns how many calls of this kind came, including those that were made to fail.
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

// CallsAs returns how many calls of this kind came for a user, or for the [ServiceAccount],
// including those that were made to fail. [Call] says whom a call is for.
func (s *Server) CallsAs(op Op, userID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[Call{op, userID}]
}
