package lookerauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

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

// callError is err as the *CallError that it must be.
func callError(t *testing.T, err error) *lookerauth.CallError {
	t.Helper()
	var failed *lookerauth.CallError
	if !errors.As(err, &failed) {
		t.Errorf("got %v, want a *CallError", err)
		return &lookerauth.CallError{}
	}
	return failed
}

// checkCalls compares the calls that looker saw: logins of the service account, and of users.
func checkCalls(t *testing.T, looker *lookertest.Server, login, loginUser int) {
	t.Helper()
	if n := looker.Count(lookertest.OpLogin, ""); n != login {
		t.Errorf("%d calls of login, want %d", n, login)
	}
	if n := looker.Count(lookertest.OpLoginUser, ""); n != loginUser {
		t.Errorf("%d calls of login_user, want %d", n, loginUser)
	}
}

// checkLogins compares how often one user was logged in.
func checkLogins(t *testing.T, looker *lookertest.Server, userID string, want int) {
	t.Helper()
	if n := looker.Count(lookertest.OpLoginUser, userID); n != want {
		t.Errorf("user %q was logged in %d times, want %d", userID, n, want)
	}
}

// checkLogouts compares how many calls of logout looker saw.
func checkLogouts(t *testing.T, looker *lookertest.Server, want int) {
	t.Helper()
	if n := looker.Count(lookertest.OpLogout, ""); n != want {
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
