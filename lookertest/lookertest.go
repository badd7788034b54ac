// Package lookertest is a fake Looker API. Programs that use lookerauth are tested against it, and
// lookerauth itself is, too. This is the test of a program whose handler, newReports, shows a
// customer's looks:
//
//	func TestCustomersSeeTheirOwnReports(t *testing.T) {
//		looker := lookertest.New(t)
//		looker.SetUsers(lookertest.User{ID: "789", FirstName: "Ann"})
//		looker.HandleFunc("GET /looks", func(w http.ResponseWriter, r *http.Request) {
//			title := "Sales of " + lookertest.UserOf(r).FirstName
//			lookertest.JSON(w, http.StatusOK, []map[string]string{{"id": "1", "title": title}})
//		})
//		cache, err := lookerauth.New(looker.Config())
//		if err != nil {
//			t.Fatal(err)
//		}
//		defer cache.Close(t.Context())
//
//		page := httptest.NewRecorder()
//		req := httptest.NewRequest("GET", "/reports", nil)
//		req.SetBasicAuth("789", "Ann's password")
//		newReports(cache, looker.URL).ServeHTTP(page, req)
//
//		if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "Sales of Ann") {
//			t.Errorf("the page is %d %s", page.Code, page.Body)
//		}
//	}
//
// Below /api/4.0, and older versions that [WithAPIVersions] has, a [Server] serves, as Looker
// documents them, login, login_user, logout, GET /user, GET /users and those below it that find
// users, GET and PATCH /session, GET /versions, and GET /alive. [Server.Handle] adds what else a
// program calls. Every other path answers who is calling, and with what:
//
//	{"user_id":"789","method":"GET","path":"/looks/1","body":""}
//
// The service account is the user [ServiceAccountID], in answers and in all that a [Server] says.
//
// A Server keeps the calls that it gets: see [Server.Requests] and [Server.Count]. With
// [Server.FailNext] and [Server.FailFunc] it fails in all the ways in which a Looker instance and
// the network before it do. Its tokens expire by the clock that it is given: with a fake clock a
// test decides when.
package lookertest

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth"
)

// ServiceAccountID is the user id of the service account: whom the API key logs in. It exists
// whatever [Server.SetUsers] says.
const ServiceAccountID = "1"

// Server is a fake Looker API. Its zero value is of no use: start one with [New] in a test, or with
// [Start] in a program. Its methods are safe for concurrent use. None of them blocks, but for
// [Server.Close].
type Server struct {
	// URL is the base URL, without /api/4.0 and without a slash at the end. It is an https:// one
	// after [WithTLS]. Do not change it.
	URL string

	clock     lookerauth.Clock
	versions  []string       // of the API, the newest last
	handlers  *http.ServeMux // of the program
	server    *httptest.Server
	transport *http.Transport
	closed    chan struct{} // closed by Close, which ends the delays
	closeOnce sync.Once

	mu           sync.Mutex // guards what is below
	clientID     string
	clientSecret string
	admin        bool            // whether the service account may call login_user
	users        map[string]User // by their ids; nil: every user exists
	life         time.Duration   // of new tokens
	sessions     map[string]*session
	counts       map[countKey]int
	requests     []Request           // a ring of the last ones
	oldest       int                 // where it begins
	nextFaults   map[Op][]Fault      // of FailNext
	faultFunc    func(Request) Fault // of FailFunc; nil for none
}

// session is what a token stands for.
type session struct {
	userID      string
	expiry      time.Time
	workspaceID string
}

// New starts a [Server] for a test, and closes it with a Cleanup of the test's. Those that are
// registered later run first, and can still use it. The Server listens on a free port of the
// loopback interface, unless the options say otherwise. If it cannot, the test fails at once.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := Start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a [Server] for a program, which ends it with [Server.Close]. A test has [New]. The
// Server listens on a free port of the loopback interface, unless the options say otherwise. If it
// cannot, the error says what to do.
func Start(opts ...Option) (*Server, error) {
	var o options
	for _, opt := range opts {
		if opt.apply != nil {
			opt.apply(&o)
		}
	}
	versions, err := o.apiVersions()
	if err != nil {
		return nil, err
	}
	listener, dial, err := o.listen()
	if err != nil {
		return nil, err
	}
	s := &Server{
		clock:        o.clock,
		versions:     versions,
		handlers:     http.NewServeMux(),
		transport:    &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 100},
		closed:       make(chan struct{}),
		clientID:     "id-" + rand.Text(),
		clientSecret: "secret-" + rand.Text(),
		admin:        true,
		life:         time.Hour,
		sessions:     make(map[string]*session),
		counts:       make(map[countKey]int),
		nextFaults:   make(map[Op][]Fault),
	}
	if s.clock == nil {
		s.clock = clock.New()
	}
	server := &http.Server{
		Handler:  s.routes(o.origins),
		ErrorLog: log.New(errorLog{s.closed}, "", 0),
	}
	s.server = &httptest.Server{Listener: newListener(listener), Config: server}
	s.serve(o.tls)
	return s, nil
}

// serve starts to answer, and sets the URL.
func (s *Server) serve(https bool) {
	addr := reachable(s.server.Listener.Addr())
	if !https {
		s.URL = "http://" + addr
		s.server.Start()
		return
	}
	s.URL = "https://" + addr
	s.server.StartTLS()
	trusted := x509.NewCertPool()
	trusted.AddCert(s.server.Certificate())
	// The certificate of httptest is for this name, whatever the address is.
	s.transport.TLSClientConfig = &tls.Config{RootCAs: trusted, ServerName: "example.com"}
}

// errorLog logs with package log until the Server is closed: what that cuts off is no error.
type errorLog struct{ closed <-chan struct{} }

func (l errorLog) Write(p []byte) (int, error) {
	select {
	case <-l.closed:
	default:
		log.Print(string(p))
	}
	return len(p), nil
}

// Close ends the Server, its delays and its connections, even in the middle of an answer. It blocks
// until handlers and functions of the program's have returned. It may be called again.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closed) })
	s.server.Close()
}

// Config returns a [lookerauth.Config] for this Server, to be changed at will. It has the URL, the
// newest of the API's versions, the API key, the clock, and the [Server.Transport]; and AllowHTTP,
// if the URL needs it: it is of another interface than loopback, and not of https.
func (s *Server) Config() lookerauth.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return lookerauth.Config{
		BaseURL:      s.URL,
		APIVersion:   s.versions[len(s.versions)-1],
		ClientID:     s.clientID,
		ClientSecret: s.clientSecret,
		Transport:    s.transport,
		Clock:        s.clock,
		AllowHTTP:    needsAllowHTTP(s.URL),
	}
}

// Client returns a client that reaches the Server and trusts its certificate. It adds no token: it
// is for calls without lookerauth. It is a new one each time, the caller's to change.
func (s *Server) Client() *http.Client { return &http.Client{Transport: s.transport} }

// Transport returns what reaches the Server and trusts its certificate. It adds no token: it is the
// base for what a test puts between. It is the same one each time.
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

// SetTokenLife sets how long new tokens live. Before that it is an hour. Use whole seconds, as
// logins answer those, and at least one.
func (s *Server) SetTokenLife(life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = life
}

// Revoke ends all tokens of a user, and returns how many were alive. Requests with one of them are
// answered with 401 from then on. The service account is the user [ServiceAccountID].
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

// Alive returns how many tokens of each user are alive, by the user's id. The service account is
// the user [ServiceAccountID]. Who has none is not in it. The map is the caller's.
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
