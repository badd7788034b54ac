package lookertest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Op is a kind of call. The zero Op is none.
type Op string

// The kinds of call that a [Server] counts and fails.
const (
	OpLogin     Op = "login"      // POST /login
	OpLoginUser Op = "login_user" // POST /login/{user_id}
	OpLogout    Op = "logout"     // DELETE /logout
	OpAPI       Op = "api"        // every other call, look-ups by credential, too
)

// check panics if op is none of the constants: a misspelt one would count nothing, or fail nothing,
// and the test would pass.
func (op Op) check() {
	switch op {
	case OpLogin, OpLoginUser, OpLogout, OpAPI:
	default:
		panic(fmt.Sprintf("lookertest: there is no Op %q: use one of the constants", string(op)))
	}
}

// Request is one call that a [Server] got, without its body and its secrets.
type Request struct {
	// Op is its kind.
	Op Op

	// UserID is whom it is for: the user to log in, or the one whose token it has. It is
	// [ServiceAccountID] for each OpLogin, and empty for a call of another kind without a token
	// that is alive.
	UserID string

	// Method is its HTTP method.
	Method string

	// Path is its path below /api/4.0, or below that of an older version, unescaped: "/looks/1",
	// say.
	Path string

	// Query has the parameters of its URL. The values of client_id, client_secret and access_token
	// are "[masked]".
	Query url.Values

	// Header is its header. The values of Authorization, Proxy-Authorization and Cookie are
	// "[masked]".
	Header http.Header
}

// maxRequests is how many Requests a Server keeps.
const maxRequests = 1000

// countKey is what calls are counted by.
type countKey struct {
	op     Op
	userID string
}

// Requests returns the calls of the API that the Server got, the oldest first, those that were made
// to fail among them. It keeps the last 1,000. What it returns is the caller's.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	all := slices.Concat(s.requests[s.oldest:], s.requests[:s.oldest])
	s.mu.Unlock()
	for i, request := range all {
		all[i] = request.clone()
	}
	return all
}

// Count returns how many calls of this kind came for a user, those that were made to fail among
// them. The service account is the user [ServiceAccountID]. An empty userID counts the calls of
// every user, and those of nobody. [Request] says whom a call is for. Count panics if op is none of
// the constants.
func (s *Server) Count(op Op, userID string) int {
	op.check()
	s.mu.Lock()
	defer s.mu.Unlock()
	if userID != "" {
		return s.counts[countKey{op, userID}]
	}
	n := 0
	for key, count := range s.counts {
		if key.op == op {
			n += count
		}
	}
	return n
}

// record counts and keeps the call, and returns the fault that it meets.
func (s *Server) record(op Op, userID string, r *http.Request) (Request, Fault) {
	request := newRequest(op, userID, r)
	fault, faultFunc := s.keep(request)
	if faultFunc != nil {
		fault = faultFunc(request.clone())
		fault.check()
	}
	return request, fault
}

// keep counts and keeps the request. It returns the fault that it meets, or what decides that.
func (s *Server) keep(request Request) (Fault, func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[countKey{request.Op, request.UserID}]++
	if len(s.requests) < maxRequests {
		s.requests = append(s.requests, request)
	} else {
		s.requests[s.oldest] = request
		s.oldest = (s.oldest + 1) % maxRequests
	}
	if next := s.nextFaults[request.Op]; len(next) > 0 {
		s.nextFaults[request.Op] = next[1:]
		return next[0], nil
	}
	return Fault{}, s.faultFunc
}

func newRequest(op Op, userID string, r *http.Request) Request {
	_, below := cutAPI(r.URL.Path)
	request := Request{
		Op:     op,
		UserID: userID,
		Method: r.Method,
		Path:   below,
		Query:  r.URL.Query(),
		Header: r.Header.Clone(),
	}
	mask(request.Query, "client_id", "client_secret", "access_token")
	mask(request.Header, "Authorization", "Proxy-Authorization", "Cookie")
	return request
}

// clone is the request for somebody who may change it.
func (r Request) clone() Request {
	r.Query = url.Values(http.Header(r.Query).Clone())
	r.Header = r.Header.Clone()
	return r
}

// mask makes the values of these names unreadable, however they are written.
func mask(values map[string][]string, secrets ...string) {
	for name := range values {
		for _, secret := range secrets {
			if !strings.EqualFold(name, secret) {
				continue
			}
			for i := range values[name] {
				values[name][i] = "[masked]"
			}
		}
	}
}
