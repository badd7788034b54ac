package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const tokenLife = time.Hour

// key is an API key of the gateway's own. Users have Looker's ids.
type key struct {
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"`
	User         string   `json:"user"`  // whom login logs in
	Users        []string `json:"users"` // whom login_user may log in
}

// session is what a token of the gateway's stands for.
type session struct {
	user   string
	users  []string // whom it may log in: nobody, if it is from login_user
	expiry time.Time
}

// sessions are the keys, and the sessions that they began, by the digests of their tokens. The time
// that looking one up takes is of no use, as nobody can choose a token by its digest.
type sessions struct {
	keys     []key
	now      func() time.Time
	byDigest *lru.Cache[[sha256.Size]byte, session] // beyond its size, the least recently used ends
}

func digest(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }

// login returns the session that a key begins.
func (s *sessions) login(id, secret string) (begun session, ok bool) {
	got := digest(id + "\x00" + secret)
	for _, k := range s.keys { // all of them, so that it always takes as long
		want := digest(k.ClientID + "\x00" + k.ClientSecret)
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 && k.ClientSecret != "" {
			begun, ok = session{user: k.User, users: k.Users}, true
		}
	}
	return begun, ok
}

// begin returns a new token, which stands for the session.
func (s *sessions) begin(begun session) (token string) {
	token = rand.Text() + rand.Text()
	s.byDigest.Add(digest(token), session{begun.user, begun.users, s.now().Add(tokenLife)})
	return token
}

// find returns the session of a token that is alive.
func (s *sessions) find(token string) (session, bool) {
	found, ok := s.byDigest.Get(digest(token))
	return found, ok && s.now().Before(found.expiry)
}
