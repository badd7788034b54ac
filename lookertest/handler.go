package lookertest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// routes returns the handler of all paths.
func (s *Server) routes(origins []string) http.Handler {
	calls := s.calls()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden) // without a body, as Looker
	})
	mux.HandleFunc("GET /versions", s.answering(OpAPI, true, s.apiVersions))
	for _, version := range s.versions {
		api := "/api/" + version
		mux.Handle(api+"/", withCORS(origins, calls))
		mux.Handle(api+"/login", calls) // no page may have what these need
		mux.Handle(api+"/login/", calls)
	}
	return mux
}

// calls returns the handler of the API. http.ServeMux matches escaped paths, so that a user id may
// have an escaped slash in it.
func (s *Server) calls() http.Handler {
	mux := http.NewServeMux()
	for _, version := range s.versions {
		api := "/api/" + version
		mux.HandleFunc("POST "+api+"/login", s.login)
		mux.HandleFunc("POST "+api+"/login/{user_id}", s.loginUser)
		mux.HandleFunc("DELETE "+api+"/logout", s.answering(OpLogout, false, s.logout))
		mux.HandleFunc("GET "+api+"/versions", s.answering(OpAPI, true, s.apiVersions))
		mux.HandleFunc("GET "+api+"/alive", s.answering(OpAPI, true, s.alive))
		for pattern, answer := range map[string]answerFunc{
			"GET %s/session":         s.session,
			"PATCH %s/session":       s.updateSession,
			"GET %s/user":            s.me,
			"GET %s/users":           s.allUsers,
			"GET %s/users/search":    s.searchUsers,
			"GET %s/users/{user_id}": s.user,
			"GET %s/users/credential/{credential_type}/{credential_id}": s.userForCredential,
			"%s/": s.echo,
		} {
			mux.HandleFunc(fmt.Sprintf(pattern, api), s.answering(OpAPI, false, answer))
		}
	}
	return mux
}

// answerFunc is how the Server itself answers a call of this session; the zero one if the call
// needs none.
type answerFunc func(w http.ResponseWriter, r *http.Request, caller session)

// answering answers calls of this kind with their faults, with a handler of the program's, or with
// answer. All but public ones need a live token.
func (s *Server) answering(op Op, public bool, answer answerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		caller, _ := s.caller(r)
		request, fault := s.record(op, caller.userID, r)
		s.begin(w, r, fault)
		caller, alive := s.caller(r) // it may have lost its token meanwhile
		handled := op == OpAPI && s.hasHandler(r)
		switch {
		case fault.isError():
			fault.answer(w, r)
		case !alive && (handled || !public):
			refuse(w, r, http.StatusUnauthorized, "Requires authentication.")
		case fault.isAnswer():
			fault.answer(w, r)
		case handled:
			s.handle(w, r, request)
		default:
			answer(w, r, caller)
		}
	}
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	err := r.ParseForm() // first: net/http sees a caller leave only once its body was read
	if s.meet(w, r, OpLogin, ServiceAccountID) {
		return
	}
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "Bad request")
		return
	}
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	s.mu.Lock()
	ok := id == s.clientID && secret == s.clientSecret
	s.mu.Unlock()
	if !ok {
		refuse(w, r, http.StatusNotFound, "Not found")
		return
	}
	s.issue(w, r, ServiceAccountID)
}

func (s *Server) loginUser(w http.ResponseWriter, r *http.Request) {
	userID := r.PathValue("user_id")
	_, _ = io.Copy(io.Discard, r.Body)
	if s.meet(w, r, OpLoginUser, userID) {
		return
	}
	caller, ok := s.caller(r)
	_, exists := s.userByID(userID)
	s.mu.Lock()
	admin := s.admin && caller.userID == ServiceAccountID
	s.mu.Unlock()
	switch {
	case !ok:
		refuse(w, r, http.StatusUnauthorized, "Requires authentication.")
	case !admin:
		refuse(w, r, http.StatusForbidden, "Forbidden")
	case !exists:
		refuse(w, r, http.StatusNotFound, "Not found")
	default:
		s.issue(w, r, userID)
	}
}

// issue answers with a new token, unless the caller has left meanwhile.
func (s *Server) issue(w http.ResponseWriter, r *http.Request, userID string) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	token := rand.Text() + rand.Text()[:14] // 40 characters, as Looker's
	now := s.clock.Now()
	s.mu.Lock()
	life := s.life
	s.sessions[token] = &session{userID: userID, expiry: now.Add(life), workspaceID: "production"}
	s.mu.Unlock()
	answer := map[string]any{
		"access_token": token,
		"token_type":   "Bearer",
		"expires_in":   int(life / time.Second),
	}
	if isVersion4(r) {
		answer["refresh_token"] = nil
	}
	JSON(w, http.StatusOK, answer)
}

// caller returns the session of the token that the request has.
func (s *Server) caller(r *http.Request) (session, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.sessions[token]
	if !ok || scheme != "token" && scheme != "Bearer" || !now.Before(found.expiry) {
		return session{}, false
	}
	return *found, true
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, _ session) {
	s.mu.Lock()
	delete(s.sessions, tokenOf(r))
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) session(w http.ResponseWriter, r *http.Request, caller session) {
	answer := map[string]any{"workspace_id": caller.workspaceID, "sudo_user_id": nil}
	if caller.userID != ServiceAccountID {
		answer["sudo_user_id"] = versioned(r, ServiceAccountID)
	}
	JSON(w, http.StatusOK, answer)
}

func (s *Server) updateSession(w http.ResponseWriter, r *http.Request, caller session) {
	var update struct {
		WorkspaceID string `json:"workspace_id"`
	}
	err := json.NewDecoder(r.Body).Decode(&update)
	if err != nil || update.WorkspaceID != "dev" && update.WorkspaceID != "production" {
		refuse(w, r, http.StatusBadRequest, "Validation Failed")
		return
	}
	s.mu.Lock()
	if current := s.sessions[tokenOf(r)]; current != nil {
		current.workspaceID = update.WorkspaceID
	}
	s.mu.Unlock()
	caller.workspaceID = update.WorkspaceID
	s.session(w, r, caller)
}

// alive answers with 200, without a body.
func (s *Server) alive(http.ResponseWriter, *http.Request, session) {}

// release is the version of Looker itself that the Server says it is.
const release = "26.12.0"

func (s *Server) apiVersions(w http.ResponseWriter, _ *http.Request, _ session) {
	var supported []map[string]string
	for _, version := range s.versions {
		supported = append(supported, map[string]string{
			"version":      version,
			"full_version": version + "." + release,
			"status":       "current",
			"swagger_url":  s.URL + "/api/" + version + "/swagger.json",
		})
	}
	JSON(w, http.StatusOK, map[string]any{
		"looker_release_version": release,
		"current_version":        supported[len(supported)-1],
		"supported_versions":     supported,
		"api_server_url":         s.URL,
	})
}

// echo answers who is calling, and with what.
func (s *Server) echo(w http.ResponseWriter, r *http.Request, caller session) {
	if s.hasHandlerOfAnotherMethod(r) {
		refuse(w, r, http.StatusNotFound, "Not found")
		return
	}
	body, _ := io.ReadAll(r.Body)
	_, below := cutAPI(r.URL.Path)
	JSON(w, http.StatusOK, map[string]any{
		"user_id": caller.userID,
		"method":  r.Method,
		"path":    below,
		"body":    string(body),
	})
}

func tokenOf(r *http.Request) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token
}
