package lookertest

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// routes returns the handler of the API. http.ServeMux matches escaped paths, so that a user id may
// have an escaped slash in it.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, version := range []string{"3.0", "3.1", "4.0"} {
		api := "/api/" + version
		mux.HandleFunc("POST "+api+"/login", s.login)
		mux.HandleFunc("POST "+api+"/login/{user_id}", s.loginUser)
		mux.HandleFunc("DELETE "+api+"/logout", s.authorized(OpLogout, s.logout))
		mux.HandleFunc("GET "+api+"/user", s.authorized(OpAPI, s.user))
		mux.HandleFunc("GET "+api+"/session", s.authorized(OpAPI, s.session))
		mux.HandleFunc("PATCH "+api+"/session", s.authorized(OpAPI, s.updateSession))
		mux.HandleFunc("GET "+api+"/alive", s.alive)
		mux.HandleFunc(api+"/", s.authorized(OpAPI, s.echo))
	}
	return mux
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	err := r.ParseForm() // first: net/http sees a caller leave only once its body was read
	if s.meet(w, r, s.record(OpLogin, ServiceAccountID, r)) {
		return
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "Bad request")
		return
	}
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	s.mu.Lock()
	ok := id == s.clientID && secret == s.clientSecret
	s.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "Not found")
		return
	}
	s.issue(w, r, ServiceAccountID)
}

func (s *Server) loginUser(w http.ResponseWriter, r *http.Request) {
	userID := r.PathValue("user_id")
	_, _ = io.Copy(io.Discard, r.Body)
	if s.meet(w, r, s.record(OpLoginUser, userID, r)) {
		return
	}
	caller, ok := s.caller(r)
	s.mu.Lock()
	admin := s.admin && caller.userID == ServiceAccountID
	exists := s.users == nil || s.users[userID] || userID == ServiceAccountID
	s.mu.Unlock()
	switch {
	case !ok:
		refuse(w, http.StatusUnauthorized, "Requires authentication.")
	case !admin:
		refuse(w, http.StatusForbidden, "Forbidden")
	case !exists:
		refuse(w, http.StatusNotFound, "Not found")
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
	respond(w, http.StatusOK, answer)
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

// authorized passes only requests with a live token to handle, with the session of that token.
func (s *Server) authorized(
	op Op, handle func(http.ResponseWriter, *http.Request, session),
) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		caller, _ := s.caller(r)
		if s.meet(w, r, s.record(op, caller.userID, r)) {
			return
		}
		caller, ok := s.caller(r) // it may have lost its token meanwhile
		if !ok {
			refuse(w, http.StatusUnauthorized, "Requires authentication.")
			return
		}
		handle(w, r, caller)
	}
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, _ session) {
	s.mu.Lock()
	delete(s.sessions, tokenOf(r))
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) user(w http.ResponseWriter, r *http.Request, caller session) {
	name := "User " + caller.userID
	if caller.userID == ServiceAccountID {
		name = "Service account"
	}
	respond(w, http.StatusOK, map[string]any{
		"id":           versioned(r, caller.userID),
		"display_name": name,
	})
}

func (s *Server) session(w http.ResponseWriter, r *http.Request, caller session) {
	answer := map[string]any{"workspace_id": caller.workspaceID, "sudo_user_id": nil}
	if caller.userID != ServiceAccountID {
		answer["sudo_user_id"] = versioned(r, ServiceAccountID)
	}
	respond(w, http.StatusOK, answer)
}

func (s *Server) updateSession(w http.ResponseWriter, r *http.Request, caller session) {
	var update struct {
		WorkspaceID string `json:"workspace_id"`
	}
	err := json.NewDecoder(r.Body).Decode(&update)
	if err != nil || update.WorkspaceID != "dev" && update.WorkspaceID != "production" {
		refuse(w, http.StatusBadRequest, "Validation Failed")
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

func (s *Server) alive(w http.ResponseWriter, r *http.Request) {
	caller, _ := s.caller(r) // it needs none
	if !s.meet(w, r, s.record(OpAPI, caller.userID, r)) {
		w.WriteHeader(http.StatusOK)
	}
}

// echo answers who is calling, and with what.
func (s *Server) echo(w http.ResponseWriter, r *http.Request, caller session) {
	body, _ := io.ReadAll(r.Body)
	respond(w, http.StatusOK, map[string]any{
		"user_id": caller.userID,
		"method":  r.Method,
		"path":    pathOf(r),
		"body":    string(body),
	})
}

func tokenOf(r *http.Request) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token
}

func isVersion4(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/4.") }

// versioned is a user id as the request's version of the API has it: a number in 3.x, a string in
// 4.0.
func versioned(r *http.Request, id string) any {
	if n, err := strconv.Atoi(id); err == nil && !isVersion4(r) {
		return n
	}
	return id
}

// refuse answers with one of Looker's errors.
func refuse(w http.ResponseWriter, status int, message string) {
	respond(w, status, map[string]any{
		"message":           message,
		"documentation_url": "https://cloud.google.com/looker/docs/",
	})
}

func respond(w http.ResponseWriter, status int, answer any) {
	if w.Header().Get("Content-Type") == "" { // or a Fault says otherwise
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}
