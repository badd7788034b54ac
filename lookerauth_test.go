package lookerauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simulate runs test in a bubble in which time is simulated, and goes on only when every goroutine waits for it. It fails if
// the test leaves a goroutine behind.
func simulate(t *testing.T, test func(t *testing.T, looker *lookertest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		looker := lookertest.NewInMemoryServer(nil)
		t.Cleanup(looker.Close)
		test(t, looker)
	})
}

// newCache returns a Cache for looker, which is closed at the end of the test.
func newCache(t *testing.T, looker *lookertest.Server, changes ...func(*lookerauth.Config)) *lookerauth.Cache {
	t.Helper()
	cfg := looker.Config()
	for _, change := range changes {
		change(&cfg)
	}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close(t.Context()) })
	return cache
}

func maxUsers(n int) func(*lookerauth.Config) {
	return func(cfg *lookerauth.Config) { cfg.MaxUsers = n }
}

// withStore makes the Cache one of a fleet.
func withStore(store lookerauth.Store, keys ...[]byte) func(*lookerauth.Config) {
	if keys == nil {
		keys = [][]byte{oneKey}
	}
	return func(cfg *lookerauth.Config) { cfg.Store, cfg.StoreKeys = store, keys }
}

var oneKey = bytes.Repeat([]byte{1}, 32)

// logOf makes the Cache log into the buffer.
func logOf(log *bytes.Buffer) func(*lookerauth.Config) {
	return func(cfg *lookerauth.Config) { cfg.Logger = slog.New(slog.NewTextHandler(log, nil)) }
}

const (
	testID     = "the-client-id"
	testSecret = "the-client-secret"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// accessToken returns the source's token, or fails the test.
func accessToken(t *testing.T, source *lookerauth.TokenSource) string {
	t.Helper()
	token, err := source.TokenContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

// whoAnswered sends a GET through client and returns the user id that Looker saw.
func whoAnswered(t *testing.T, ctx context.Context, client *http.Client, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return ""
	}
	return readAnswer(t, resp).UserID
}

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

// checkCalls fails the test if looker did not see this many logins of the service account, and of users.
func checkCalls(t *testing.T, looker *lookertest.Server, login, loginUser int) {
	t.Helper()
	if n := looker.Calls(lookertest.Login); n != login {
		t.Errorf("%d calls of login, want %d", n, login)
	}
	if n := looker.Calls(lookertest.LoginUser); n != loginUser {
		t.Errorf("%d calls of login_user, want %d", n, loginUser)
	}
}

func exit() { runtime.Goexit() }
