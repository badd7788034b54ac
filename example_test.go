package lookerauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
	"github.com/lookerauth/lookerauth/storetest"
)

// startLooker starts a fake Looker.
func startLooker(opts ...lookertest.Option) *lookertest.Server {
	looker, err := lookertest.Start(opts...)
	if err != nil {
		log.Fatal(err)
	}
	return looker
}

// startFake points ConfigFromEnv to a fake Looker.
func startFake() *lookertest.Server {
	looker := startLooker()
	cfg := looker.Config()
	os.Setenv("LOOKERSDK_BASE_URL", cfg.BaseURL)
	os.Setenv("LOOKERSDK_CLIENT_ID", cfg.ClientID)
	os.Setenv("LOOKERSDK_CLIENT_SECRET", cfg.ClientSecret)
	return looker
}

// newExampleCache makes a Cache for the fake Looker.
func newExampleCache(looker *lookertest.Server) *lookerauth.Cache {
	cache, err := lookerauth.New(looker.Config())
	if err != nil {
		log.Fatal(err)
	}
	return cache
}

// signedIn is a server of OAuth that user 789 has signed in at.
type signedIn struct {
	*httptest.Server
	refreshToken string
}

// startOAuth starts one, and returns what x/oauth2 needs to know of it.
func startOAuth(looker *lookertest.Server) (signedIn, *oauth2.Config) {
	a := newAuthority(looker)
	server := httptest.NewServer(a)
	endpoint := oauth2.Endpoint{TokenURL: server.URL}
	return signedIn{server, a.signIn("789")}, &oauth2.Config{ClientID: "app", Endpoint: endpoint}
}

// show prints an answer.
func show(resp *http.Response, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	io.Copy(os.Stdout, resp.Body)
}

// showName prints the name of the user in an answer.
func showName(resp *http.Response, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var user struct {
		Name string `json:"display_name"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&user); err != nil {
		fmt.Println(err)
	}
	fmt.Println(user.Name)
}

func Example() {
	looker := startFake()
	defer looker.Close()

	cfg, err := lookerauth.ConfigFromEnv() // LOOKERSDK_BASE_URL, …_CLIENT_ID, …_CLIENT_SECRET
	if err != nil {
		log.Fatal(err)
	}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(context.Background()) // logs every token out

	client := cache.User("789").Client() // an *http.Client that acts as user 789
	resp, err := client.Get(cfg.BaseURL + "/api/4.0/user")

	showName(resp, err)
	// Output: User 789
}

func ExampleTokenSource_Transport() {
	looker := startLooker()
	defer looker.Close()
	cache := newExampleCache(looker)
	defer cache.Close(context.Background())
	client := &http.Client{Timeout: time.Minute}

	client.Transport = cache.ServiceAccount().Transport(client.Transport)

	showName(client.Get(looker.URL + "/api/4.0/user"))
	// Output: Service account
}

func ExampleCache_Transport() {
	looker := startLooker()
	defer looker.Close()
	cache := newExampleCache(looker)
	ctx := context.Background()
	defer cache.Close(context.Background())
	url := looker.URL + "/api/4.0/user"

	client := &http.Client{Transport: cache.Transport(nil)}

	ctx = lookerauth.WithUser(ctx, "789")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := client.Do(req) // as user 789

	showName(resp, err)
	// Output: User 789
}

// A session of Looker's lives as long as its token, and starts in production. AfterLogin puts each
// new one into the dev workspace, those that come from refreshes, too.
func ExampleConfig_afterLogin() {
	now := clock.NewMock()
	looker := startLooker(lookertest.WithClock(now))
	defer looker.Close()
	cfg := looker.Config()

	cfg.AfterLogin = func(ctx context.Context, login lookerauth.Login) error {
		body := strings.NewReader(`{"workspace_id":"dev"}`)
		url := cfg.BaseURL + "/api/4.0/session"
		req, err := http.NewRequestWithContext(ctx, http.MethodPatch, url, body)
		if err != nil {
			return err
		}
		resp, err := login.Client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("selecting the dev workspace: %s", resp.Status)
		}
		return nil
	}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(context.Background())

	for range 3 {
		show(cache.User("789").Client().Get(cfg.BaseURL + "/api/4.0/session"))
		now.Add(2 * time.Hour) // a token lives for one
	}
	// Output:
	// {"sudo_user_id":"1","workspace_id":"dev"}
	// {"sudo_user_id":"1","workspace_id":"dev"}
	// {"sudo_user_id":"1","workspace_id":"dev"}
}

// A user's refresh token comes from signing in with a browser. The program keeps it, as each answer
// has the next one; no API key is needed. Here x/oauth2 makes the call.
func ExampleConfig_userToken() {
	looker := startLooker()
	defer looker.Close()
	signIn, conf := startOAuth(looker)
	defer signIn.Close()
	cfg := lookerauth.Config{BaseURL: looker.URL}

	var kept sync.Map // refresh tokens by user id: a database, if there are several processes
	kept.Store("789", signIn.refreshToken)
	cfg.UserToken = func(
		ctx context.Context, req lookerauth.UserTokenRequest,
	) (*oauth2.Token, error) {
		refresh, ok := kept.Load(req.UserID)
		if !ok {
			return nil, errors.New("the user has not signed in")
		}
		token, err := conf.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh.(string)}).Token()
		if err == nil {
			kept.Store(req.UserID, token.RefreshToken)
		}
		return token, err
	}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(context.Background()) // which ends no refresh token

	showName(cache.User("789").Client().Get(cfg.BaseURL + "/api/4.0/user"))
	_, err = cache.User("790").Token()
	fmt.Println(err)
	// Output:
	// User 789
	// lookerauth: user_token 790: UserToken: the user has not signed in
}

func ExampleTokenSource_Token() {
	looker := startLooker()
	defer looker.Close()
	cache := newExampleCache(looker)
	defer cache.Close(context.Background())

	var source oauth2.TokenSource = cache.User("789")
	token, err := source.Token()

	fmt.Println(token.Type(), time.Until(token.Expiry).Round(time.Minute), err)
	// Output: token 1h0m0s <nil>
}

func TestReportIsFetchedAsTheUser(t *testing.T) {
	now := clock.NewMock()
	looker := lookertest.New(t, lookertest.WithClock(now))

	cache, err := lookerauth.New(looker.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close(context.Background())

	client := cache.User("789").Client()
	for range 3 {
		resp, err := client.Get(looker.URL + "/api/4.0/looks/1/run/json")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		now.Add(45 * time.Minute) // a token lives for 60
	}
	if n := looker.Count(lookertest.OpLoginUser, "789"); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

// mapStore is a Store for the Caches of one process: all that one has to do.
type mapStore struct {
	mu     sync.Mutex
	values map[string]mapValue // guarded by mu
}

type mapValue struct {
	value  []byte
	expiry time.Time
}

func (s *mapStore) Get(ctx context.Context, name string) ([]byte, error) {
	return s.CompareAndSwap(ctx, name, nil, nil, 0) // puts none in the place of none
}

func (s *mapStore) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.values[name]
	if time.Now().After(now.expiry) {
		now.value = nil
	}
	if ctx.Err() != nil || !bytes.Equal(now.value, old) {
		return bytes.Clone(now.value), ctx.Err()
	}
	s.values[name] = mapValue{bytes.Clone(next), time.Now().Add(ttl)}
	return bytes.Clone(next), nil
}

func ExampleStore() {
	looker := must(lookertest.Start())
	defer looker.Close()
	cfg := looker.Config()
	cfg.Store = &mapStore{values: make(map[string]mapValue)}
	cfg.StoreKeys = [][]byte{[]byte("32 random bytes, not these words")}
	for range 3 { // three processes, say
		cache := must(lookerauth.New(cfg))
		defer cache.Close(context.Background())
		showName(cache.User("789").Client().Get(cfg.BaseURL + "/api/4.0/user"))
	}
	fmt.Println(looker.Count(lookertest.OpLoginUser, "789"), "login of user 789")
	// Output:
	// User 789
	// User 789
	// User 789
	// 1 login of user 789
}

func TestStoresOfTheseTestsKeepTheRules(t *testing.T) {
	t.Run("example", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) lookerauth.Store {
			return &mapStore{values: make(map[string]mapValue)}
		})
	})
	t.Run("memory", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) lookerauth.Store { return newMemoryStore() })
	})
}

func ExampleTokenSource_Export() {
	looker := startLooker()
	defer looker.Close()
	looker.SetUsers(lookertest.User{ID: "789", Credentials: map[lookerauth.CredentialType]string{
		lookerauth.CredentialEmbed: "customer-42",
	}})
	cache := newExampleCache(looker)
	defer cache.Close(context.Background())

	handler := func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		// The id comes from the session: one from the request itself may be anybody's.
		customer := lookerauth.UserByCredential(lookerauth.CredentialEmbed, "customer-42")
		least := lookerauth.ExportOptions{MinLife: 10 * time.Minute}
		token, err := cache.As(customer).Export(ctx, least)
		if err != nil {
			http.Error(w, "Looker does not log you in", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		json.NewEncoder(w).Encode(token)
	}

	answer := httptest.NewRecorder()
	handler(answer, httptest.NewRequest(http.MethodGet, "/looker-token", nil))
	var token oauth2.Token
	json.Unmarshal(answer.Body.Bytes(), &token)
	fmt.Println(token.TokenType, token.ExpiresIn > 3000)
	// Output: Bearer true
}
