package lookerauth_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// authority answers refresh tokens with new tokens of Looker's, as OAuth does. Each refresh token
// is good for one call: the answer has the next one.
type authority struct {
	looker *lookertest.Server

	mu     sync.Mutex        // guards what is below
	users  map[string]string // by the refresh token that is good
	reused int               // refresh tokens that were not good
}

func newAuthority(looker *lookertest.Server) *authority {
	return &authority{looker: looker, users: make(map[string]string)}
}

// signIn returns a refresh token, as a user gets one who signs in with a browser.
func (a *authority) signIn(userID string) (refreshToken string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	refreshToken = "1//" + rand.Text()
	a.users[refreshToken] = userID
	return refreshToken
}

// withdraw ends a user's refresh tokens.
func (a *authority) withdraw(userID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for refreshToken, owner := range a.users {
		if owner == userID {
			delete(a.users, refreshToken)
		}
	}
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refreshToken := r.FormValue("refresh_token")
	a.mu.Lock()
	userID, ok := a.users[refreshToken]
	delete(a.users, refreshToken)
	if !ok {
		a.reused++
	}
	a.mu.Unlock()
	if !ok || r.FormValue("grant_type") != "refresh_token" {
		lookertest.JSON(w, http.StatusBadRequest, map[string]string{
			"error": "invalid_grant", "error_description": "The refresh token was withdrawn.",
		})
		return
	}
	token, err := mint(a.looker, userID)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	lookertest.JSON(w, http.StatusOK, map[string]any{
		"access_token": token.AccessToken, "token_type": "Bearer", "expires_in": token.ExpiresIn,
		"refresh_token": a.signIn(userID), "id_token": "eyJh",
	})
}

// RoundTrip reaches the authority without a network.
func (a *authority) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, req)
	return w.Result(), req.Context().Err()
}

// refreshTokens are what the caller keeps, for all its processes.
type refreshTokens struct {
	conf *oauth2.Config
	kept sync.Map // by the user's id
}

// userToken uses a user's refresh token up, and keeps the next one.
func (r *refreshTokens) userToken(
	ctx context.Context, req lookerauth.UserTokenRequest,
) (*oauth2.Token, error) {
	kept, ok := r.kept.Load(req.UserID)
	if !ok {
		return nil, errors.New("the user has not signed in")
	}
	token, err := r.conf.TokenSource(ctx, &oauth2.Token{RefreshToken: kept.(string)}).Token()
	if err == nil {
		r.kept.Store(req.UserID, token.RefreshToken)
	}
	return token, err
}

// newOAuth has users sign in.
func newOAuth(looker *lookertest.Server, users int) (*authority, userTokenFunc) {
	a := newAuthority(looker)
	endpoint := oauth2.Endpoint{TokenURL: "https://looker.example/api/token"}
	tokens := &refreshTokens{conf: &oauth2.Config{ClientID: "the-app", Endpoint: endpoint}}
	for i := range users {
		tokens.kept.Store(nthUser(i), a.signIn(nthUser(i)))
	}
	client := &http.Client{Transport: a}
	return a, func(
		ctx context.Context, req lookerauth.UserTokenRequest,
	) (*oauth2.Token, error) {
		return tokens.userToken(context.WithValue(ctx, oauth2.HTTPClient, client), req)
	}
}

func TestUsersOfOAuthActAsThemselvesForTenHours(t *testing.T) {
	for name, processes := range map[string]int{"alone": 1, "fleet": 3} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				const users, withdrawn = 20, 7
				authority, userToken := newOAuth(looker, users)
				options := []option{withoutKey, withUserToken(userToken)}
				if processes > 1 {
					options = append(options, withStore(newMemoryStore()))
				}
				fleet := newFleet(t, looker, processes, options...)
				until := func(end time.Time, failing int) {
					for n := 0; time.Now().Before(end); n++ {
						cache := fleet[n%processes]
						together(users, func(i int) {
							client := cache.User(nthUser(i)).Client()
							if i != failing {
								answersAs(t, client, looker, nthUser(i))
								return
							}
							if resp, err := client.Get(looker.URL + looks); err == nil {
								resp.Body.Close() // with the last token
							} else {
								checkErrorSays(t, err, "user_token", "invalid_grant", "withdrawn")
							}
						})
						time.Sleep(2 * time.Minute)
					}
				}
				start := time.Now()
				until(start.Add(4*time.Hour), -1) // who fails: nobody
				if authority.reused > 0 {
					t.Errorf("%d refresh tokens were used twice", authority.reused)
				}
				authority.withdraw(nthUser(withdrawn))
				until(start.Add(5*time.Hour), withdrawn) // its last token lives for a while
				failed := fleet[0].User(nthUser(withdrawn))
				_, err := failed.Token()
				checkErrorSays(t, err, "invalid_grant", "withdrawn")
				if !errors.As(err, new(*oauth2.RetrieveError)) {
					t.Errorf("the cause is gone: %v", err)
				}
				until(start.Add(10*time.Hour), withdrawn)

				for _, cache := range fleet {
					closeCache(t, cache)
				}
				checkLogouts(t, looker, 0)
				if n := len(authority.users); n != users-1 {
					t.Errorf("%d refresh tokens are good, want %d", n, users-1)
				}
				// An hour's token is refreshed after 55 minutes: eleven each.
				if n := looker.Count(lookertest.OpLoginUser, nthUser(0)); n > 12 {
					t.Errorf("%d tokens of one user", n)
				}
			})
		})
	}
}
