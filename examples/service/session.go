package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/lookerauth/lookerauth"
)

const (
	cookieName  = "session"
	sessionLife = 12 * time.Hour
	requestTime = 20 * time.Second // for which a customer waits at most
)

// sessions are signed cookies, so that they survive a restart. A product has its own in this place.
type sessions struct{ codec *securecookie.SecureCookie }

func newSessions(key []byte) sessions {
	codec := securecookie.New(key, nil)
	return sessions{codec.MaxAge(int(sessionLife / time.Second))}
}

// sessionKey is SESSION_KEY, 64 hexadecimal digits. Without it sessions end with the process.
func sessionKey() ([]byte, error) {
	text := os.Getenv("SESSION_KEY")
	if text == "" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		return key, nil
	}
	return hexKey("SESSION_KEY", text)
}

// hexKey is a key of 32 bytes. The error does not show it.
func hexKey(name, text string) ([]byte, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s is not 64 hexadecimal digits: take openssl rand -hex 32", name)
	}
	return key, nil
}

// customer is who has signed in: a customer's external id, or "".
func (s *service) customer(r *http.Request) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	var id string
	if s.sessions.codec.Decode(cookieName, cookie.Value, &id) != nil || !s.isCustomer(id) {
		return ""
	}
	return id
}

// isCustomer keeps everybody out of Looker who is no customer, such as its administrators: an id
// may come from outside, and the service account may act as anybody.
func (s *service) isCustomer(id string) bool { return slices.Contains(s.customers, id) }

// forCustomer puts the customer who has signed in into the context of next, as Looker knows embed
// users: by external id. Nobody else gets to next.
func (s *service) forCustomer(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := s.customer(r)
		switch {
		case id != "":
			ctx, cancel := context.WithTimeout(r.Context(), requestTime)
			defer cancel()
			who := lookerauth.UserByCredential(lookerauth.CredentialEmbed, id)
			next(w, r.WithContext(lookerauth.WithIdentity(ctx, who)))
		case r.URL.Path == "/":
			show(w, http.StatusOK, "sign-in", s.customers)
		default:
			http.Error(w, "Sign in first.", http.StatusUnauthorized)
		}
	}
}

// signIn takes everybody's word. A product asks for a proof.
func (s *service) signIn(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("customer")
	if !s.isCustomer(id) {
		http.Error(w, "There is no such customer.", http.StatusForbidden)
		return
	}
	value, err := s.sessions.codec.Encode(cookieName, id)
	if err != nil {
		http.Error(w, "The session cannot be made.", http.StatusInternalServerError)
		return
	}
	setCookie(w, r, value, int(sessionLife/time.Second))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *service) signOut(w http.ResponseWriter, r *http.Request) {
	setCookie(w, r, "", -1)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
		Secure:   r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
}
