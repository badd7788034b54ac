package lookerauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simulate runs test in a bubble in which time is simulated, and goes on only when every goroutine
// waits for it. It fails if the test leaves a goroutine behind.
func simulate(t *testing.T, test func(t *testing.T, looker *lookertest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		looker := lookertest.NewInMemoryServer(nil)
		t.Cleanup(looker.Close)
		test(t, looker)
	})
}

// newCache returns a Cache for looker, which is closed at the end of the test.
func newCache(t *testing.T, looker *lookertest.Server, options ...option) *lookerauth.Cache {
	t.Helper()
	cfg := looker.Config()
	for _, option := range options {
		option(&cfg)
	}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close(t.Context()) })
	return cache
}

// newFleet returns n Caches for looker, as n processes would have them.
func newFleet(
	t *testing.T, looker *lookertest.Server, n int, options ...option,
) (fleet []*lookerauth.Cache) {
	t.Helper()
	for range n {
		fleet = append(fleet, newCache(t, looker, options...))
	}
	return fleet
}

// What a test does.

// accessToken returns the source's token.
func accessToken(t *testing.T, source *lookerauth.TokenSource) string {
	t.Helper()
	token, err := source.TokenContext(t.Context())
	if err != nil {
		t.Error(err)
		return ""
	}
	return token.AccessToken
}

// useUsers gets the tokens of n users, whose ids count from 0.
func useUsers(t *testing.T, cache *lookerauth.Cache, n int) {
	t.Helper()
	for i := range n {
		accessToken(t, cache.User(fmt.Sprint(i)))
	}
}

// invalidate says of the source's current token that it was rejected.
func invalidate(t *testing.T, source *lookerauth.TokenSource) {
	t.Helper()
	token, err := source.Token()
	if err != nil {
		t.Error(err)
	}
	source.Invalidate(token)
}

func logOut(t *testing.T, source *lookerauth.TokenSource) {
	t.Helper()
	if err := source.Logout(t.Context()); err != nil {
		t.Errorf("Logout: %v", err)
	}
}

func closeCache(t *testing.T, cache *lookerauth.Cache) {
	t.Helper()
	if err := cache.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// statusOf sends a GET, and returns the status of the answer.
func statusOf(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Error(err)
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// together runs f n times at once, and waits.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// inBackground runs f, and sends what it returns.
func inBackground(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}

// tokenInBackground asks for the source's token, and sends the error.
func tokenInBackground(source *lookerauth.TokenSource) <-chan error {
	return inBackground(func() error {
		_, err := source.Token()
		return err
	})
}

// closeInBackground closes the Cache, and sends the error.
func closeInBackground(t *testing.T, cache *lookerauth.Cache) <-chan error {
	return inBackground(func() error { return cache.Close(t.Context()) })
}

// must returns value, in a place that has no room for an error.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func exit() { runtime.Goexit() }

// What Looker does to a call: see lookertest.Server.Fail.

func answered(status int) lookertest.Fault { return lookertest.Fault{Status: status} }

func delayed(d time.Duration) lookertest.Fault { return lookertest.Fault{Delay: d} }

func rateLimited(retryAfter string) lookertest.Fault {
	header := http.Header{"Retry-After": {retryAfter}}
	return lookertest.Fault{Status: http.StatusTooManyRequests, Header: header}
}

func redirected(status int, to string) lookertest.Fault {
	return lookertest.Fault{Status: status, Header: http.Header{"Location": {to}}}
}

func answeredBody(body string) lookertest.Fault { return lookertest.Fault{Body: body} }

// What a test expects.

// looks is a path at Looker that answers who asks.
const looks = "/api/4.0/looks"

// answer is what the fake Looker says of a request.
type answer struct {
	UserID string `json:"user_id"`
	Path   string
	Body   string
}

func readAnswer(t *testing.T, resp *http.Response) (a answer) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("Looker answered %s: %s", resp.Status, body)
		return a
	}
	if err := json.Unmarshal(body, &a); err != nil {
		t.Errorf("%v: %s", err, body)
	}
	return a
}

// answersAs sends a request to Looker, which must see this user.
func answersAs(t *testing.T, client *http.Client, looker *lookertest.Server, userID string) {
	t.Helper()
	answersContextAs(t, t.Context(), client, looker, userID)
}

// answersContextAs is answersAs for a request with this context.
func answersContextAs(
	t *testing.T, ctx context.Context,
	client *http.Client, looker *lookertest.Server, userID string,
) {
	t.Helper()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, looker.URL+looks, nil)
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	if got := readAnswer(t, resp).UserID; got != userID {
		t.Errorf("answered as %q, want %q", got, userID)
	}
}

// failsWith asks for the source's token, which must fail with this error.
func failsWith(t *testing.T, source *lookerauth.TokenSource, want error) {
	t.Helper()
	_, err := source.Token()
	checkError(t, err, want)
}

// checkError compares an error; nil stands for none.
func checkError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// checkErrorSays looks for all the parts in the text of an error.
func checkErrorSays(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Error("got no error")
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in the error: %v", part, err)
		}
	}
}

// loginError is err as the *LoginError that it must be.
func loginError(t *testing.T, err error) *lookerauth.LoginError {
	t.Helper()
	var failed *lookerauth.LoginError
	if !errors.As(err, &failed) {
		t.Errorf("got %v, want a *LoginError", err)
		return &lookerauth.LoginError{}
	}
	return failed
}

// checkCalls compares the calls that looker saw: logins of the service account, and of users.
func checkCalls(t *testing.T, looker *lookertest.Server, login, loginUser int) {
	t.Helper()
	if n := looker.Calls(lookertest.Login); n != login {
		t.Errorf("%d calls of login, want %d", n, login)
	}
	if n := looker.Calls(lookertest.LoginUser); n != loginUser {
		t.Errorf("%d calls of login_user, want %d", n, loginUser)
	}
}

// checkLogins compares how often one user was logged in.
func checkLogins(t *testing.T, looker *lookertest.Server, userID string, want int) {
	t.Helper()
	if n := looker.CallsAs(lookertest.LoginUser, userID); n != want {
		t.Errorf("user %q was logged in %d times, want %d", userID, n, want)
	}
}

// checkLogouts compares how many calls of logout looker saw.
func checkLogouts(t *testing.T, looker *lookertest.Server, want int) {
	t.Helper()
	if n := looker.Calls(lookertest.Logout); n != want {
		t.Errorf("%d calls of logout, want %d", n, want)
	}
}

// checkAlive compares how many tokens of one user Looker accepts.
func checkAlive(t *testing.T, looker *lookertest.Server, userID string, want int) {
	t.Helper()
	if n := looker.Alive()[userID]; n != want {
		t.Errorf("%d tokens of user %q are alive, want %d", n, userID, want)
	}
}

// checkStoreErrors compares how many errors of its Store the Cache counted.
func checkStoreErrors(t *testing.T, cache *lookerauth.Cache, want uint64) {
	t.Helper()
	if n := cache.Stats().StoreErrors; n != want {
		t.Errorf("%d errors of the store were counted, want %d", n, want)
	}
}

// checkStoreHits compares how many tokens the Cache took from its Store.
func checkStoreHits(t *testing.T, cache *lookerauth.Cache, want uint64) {
	t.Helper()
	if n := cache.Stats().StoreHits; n != want {
		t.Errorf("%d tokens were taken from the store, want %d", n, want)
	}
}

func checkNoneAlive(t *testing.T, looker *lookertest.Server) {
	t.Helper()
	if alive := looker.Alive(); len(alive) != 0 {
		t.Errorf("alive at Looker: %v", alive)
	}
}

// checkTook compares the time since start.
func checkTook(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	if took := time.Since(start); took != want {
		t.Errorf("took %v, want %v", took, want)
	}
}
