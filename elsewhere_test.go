package lookerauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// userTokenFunc is a Config.UserToken.
type userTokenFunc = func(context.Context, lookerauth.UserTokenRequest) (*oauth2.Token, error)

func withUserToken(f userTokenFunc) option {
	return func(cfg *lookerauth.Config) { cfg.UserToken = f }
}

func withoutKey(cfg *lookerauth.Config) {
	cfg.ClientID, cfg.ClientSecret, cfg.APIKey = "", "", nil
}

// elsewhere is where users' tokens come from in tests: another client of Looker's, which has new
// ones. It keeps the requests.
type elsewhere struct {
	looker *lookertest.Server

	mu       sync.Mutex // guards what is below
	requests []lookerauth.UserTokenRequest
	meet     func(ctx context.Context) error   // what a call meets before it has a token
	change   func(*oauth2.Token) *oauth2.Token // what it does to that
	running  int
	most     int // calls that ran at once
}

func newElsewhere(looker *lookertest.Server) *elsewhere {
	return &elsewhere{
		looker: looker,
		meet:   func(context.Context) error { return nil },
		change: func(t *oauth2.Token) *oauth2.Token { return t },
	}
}

// userToken is the Config's.
func (e *elsewhere) userToken(
	ctx context.Context, req lookerauth.UserTokenRequest,
) (*oauth2.Token, error) {
	e.mu.Lock()
	e.requests = append(e.requests, req)
	e.running++
	e.most = max(e.most, e.running)
	meet, change := e.meet, e.change
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.running--
	}()
	if err := meet(ctx); err != nil {
		return nil, err
	}
	t, err := mint(e.looker, req.UserID)
	if err != nil {
		return nil, err
	}
	return change(t), nil
}

// set changes what calls meet, and what becomes of their tokens; nil is nothing.
func (e *elsewhere) set(
	meet func(context.Context) error, change func(*oauth2.Token) *oauth2.Token,
) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fresh := newElsewhere(nil)
	e.meet, e.change = fresh.meet, fresh.change
	if meet != nil {
		e.meet = meet
	}
	if change != nil {
		e.change = change
	}
}

// calls returns the requests so far.
func (e *elsewhere) calls() []lookerauth.UserTokenRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]lookerauth.UserTokenRequest(nil), e.requests...)
}

// check compares the number of calls, and returns the last one.
func (e *elsewhere) check(t *testing.T, want int) (last lookerauth.UserTokenRequest) {
	t.Helper()
	calls := e.calls()
	if len(calls) != want {
		t.Errorf("%d calls of UserToken, want %d", len(calls), want)
	}
	if len(calls) > 0 {
		last = calls[len(calls)-1]
	}
	return last
}

// checkMost compares how many calls ran at once.
func (e *elsewhere) checkMost(t *testing.T, want int) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.most != want {
		t.Errorf("%d calls of UserToken at once, want %d", e.most, want)
	}
}

// newElsewhereCache returns a Cache without an API key, whose users' tokens come from elsewhere.
func newElsewhereCache(
	t *testing.T, looker *lookertest.Server, options ...option,
) (*lookerauth.Cache, *elsewhere) {
	t.Helper()
	source := newElsewhere(looker)
	options = append([]option{withoutKey, withUserToken(source.userToken)}, options...)
	return newCache(t, looker, options...), source
}

// byMint marks the calls of mint.
const byMint = "mint"

// mint gets a new token of a user's, with login_user as a service account that no Cache knows.
func mint(looker *lookertest.Server, userID string) (*oauth2.Token, error) {
	cfg := looker.Config()
	key := url.Values{"client_id": {cfg.ClientID}, "client_secret": {cfg.ClientSecret}}
	service, err := mintCall(looker, "/login", key, "")
	if err != nil {
		return nil, err
	}
	return mintCall(looker, "/login/"+userID, nil, "token "+service.AccessToken)
}

func mintCall(
	looker *lookertest.Server, path string, form url.Values, authorization string,
) (*oauth2.Token, error) {
	body := strings.NewReader(form.Encode())
	req, _ := http.NewRequest(http.MethodPost, looker.URL+"/api/4.0"+path, body)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", byMint)
	req.Header.Set("Authorization", authorization)
	resp, err := looker.Client().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("%s: %s", resp.Status, text)
	}
	var t oauth2.Token
	return &t, json.NewDecoder(resp.Body).Decode(&t)
}

// errWithdrawn is what a source of tokens fails with.
var errWithdrawn = errors.New("the refresh token was withdrawn")

// withdrawn has a call of UserToken fail.
func withdrawn(context.Context) error { return errWithdrawn }
