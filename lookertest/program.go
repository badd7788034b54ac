package lookertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
)

// Handle has h answer the calls of the API that match pattern, as [http.ServeMux] has it:
// "GET /looks", say, or "/looks/{id}". Its path is below /api/4.0, and below those of the other
// versions that the [Server] serves. Handle panics as [http.ServeMux.Handle] does: for a pattern
// that is none, or is in the way of another; and for one that has /api/4.0 in it.
//
// h gets only calls with a live token. It goes before all that the Server answers by itself, but
// for POST /login, POST /login/{user_id} and DELETE /logout. A call with a method that no pattern
// of its path has is answered with 404, unless the Server has an answer of its own.
//
// The request that h gets is the same as what [Server.Requests] has: its path begins below
// /api/4.0, and secrets in its header and its query are masked. [UserOf] says whose it is. h may
// use the Server, but for [Server.Close], which waits for h.
func (s *Server) Handle(pattern string, h http.Handler) {
	http.NewServeMux().Handle(pattern, h) // panics if that is of no use, and says why
	slash := strings.Index(pattern, "/")
	if version, _ := cutAPI(pattern[slash:]); version != "" {
		panic(fmt.Sprintf("lookertest: the path of the pattern %q begins below /api/%s: "+
			"leave that out", pattern, version))
	}
	for _, version := range s.versions {
		full := pattern[:slash] + "/api/" + version + pattern[slash:]
		s.handlers.Handle(full, asRecorded(pattern, h))
	}
}

// HandleFunc is [Server.Handle] of a function.
func (s *Server) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	s.Handle(pattern, http.HandlerFunc(h))
}

// UserOf returns the user whose token came with the request that a handler of [Server.Handle] got.
// It has the names that answers of the [Server] have. For any other request it is the zero User.
func UserOf(r *http.Request) User {
	call, _ := r.Context().Value(callKey{}).(handledCall)
	return call.user.clone()
}

// callKey is the context key of a handledCall.
type callKey struct{}

// handledCall is a call that a handler of the program's gets.
type handledCall struct {
	request Request
	user    User
}

// hasHandler reports whether a handler of the program's is there for the call.
func (s *Server) hasHandler(r *http.Request) bool {
	_, pattern := s.handlers.Handler(r)
	return pattern != ""
}

// hasHandlerOfAnotherMethod reports whether one is there for the same path: then the call is a
// mistake.
func (s *Server) hasHandlerOfAnotherMethod(r *http.Request) bool {
	refusal, pattern := s.handlers.Handler(r)
	if pattern != "" {
		return false
	}
	answer := httptest.NewRecorder()
	refusal.ServeHTTP(answer, r)
	return answer.Code == http.StatusMethodNotAllowed
}

// handle has the program's handler answer.
func (s *Server) handle(w http.ResponseWriter, r *http.Request, request Request) {
	user, _ := s.userByID(request.UserID)
	call := handledCall{request, user}
	s.handlers.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, call)))
}

// asRecorded gives h the request as it was recorded. This is done once http.ServeMux has matched
// the full path, so that its redirects lead to full paths, too.
func asRecorded(pattern string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := r.Context().Value(callKey{}).(handledCall)
		request := call.request.clone()
		target := *r.URL
		target.Path = request.Path
		_, target.RawPath = cutAPI(r.URL.RawPath)
		target.RawQuery = request.Query.Encode()
		r.URL, r.RequestURI, r.Pattern = &target, target.RequestURI(), pattern
		r.Header = request.Header
		h.ServeHTTP(w, r)
	})
}
