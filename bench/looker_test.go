package bench

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lookerauth/lookerauth"
)

const lookerURL = "https://looker.example"

// looker is a Looker within this process: without HTTP between them, a Cache is filled with a
// million users in seconds. Its tokens live for a day, so that none ages while it is measured.
type looker struct {
	delay  time.Duration // that a login takes
	logins atomic.Int64
}

// newCache returns a Cache for this Looker that has room for that many users.
func (l *looker) newCache(users int) *lookerauth.Cache {
	cache, err := lookerauth.New(lookerauth.Config{
		BaseURL:      lookerURL,
		ClientID:     "id",
		ClientSecret: "secret",
		MaxUsers:     users,
		Transport:    l,
	})
	if err != nil {
		panic(err) // the Config is a constant but for its size
	}
	return cache
}

// RoundTrip answers login, login_user and logout.
func (l *looker) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	if req.Method == http.MethodDelete {
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
	}
	l.logins.Add(1)
	time.Sleep(l.delay)
	userID := strings.TrimPrefix(strings.TrimPrefix(req.URL.Path, "/api/4.0/login"), "/")
	answer := fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":%d}`,
		tokenOf(userID), int(tokenLife.Seconds()))
	body := io.NopCloser(strings.NewReader(answer))
	return &http.Response{StatusCode: http.StatusOK, Body: body}, nil
}

// tokenOf is the token that every contestant has for a user, 40 characters long as Looker's are.
func tokenOf(userID string) string { return fmt.Sprintf("%040s", userID) }
