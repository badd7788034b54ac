package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simulate runs test in a bubble in which time is simulated: to sleep takes no time, and all that
// is due happens meanwhile.
func simulate(t *testing.T, test func(t *testing.T, fake *lookertest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, lookertest.New(t, lookertest.InMemory()))
	})
}

// startFake starts a fake Looker on the loopback interface. It is closed at the end of the test.
func startFake(t *testing.T, clock lookerauth.Clock) *lookertest.Server {
	t.Helper()
	return lookertest.New(t, lookertest.WithClock(clock))
}

// failing makes every call of this kind meet the fault from now on, and others none.
func failing(fake *lookertest.Server, op lookertest.Op, fault lookertest.Fault) {
	fake.FailFunc(func(call lookertest.Request) lookertest.Fault {
		if call.Op == op {
			return fault
		}
		return lookertest.Fault{}
	})
}

// newCache returns a Cache that is closed at the end of the test.
func newCache(t *testing.T, cfg lookerauth.Config) *lookerauth.Cache {
	t.Helper()
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close(t.Context()) })
	return cache
}

// answer is what the fake Looker says of a request: who made it, and with what body.
type answer struct {
	UserID string `json:"user_id"`
	Body   string `json:"body"`
}

// check fails the test if the answer is not to this user's request with this body.
func check(t *testing.T, resp *http.Response, err error, want answer) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("Looker answered %s: %s (%v)", resp.Status, body, err)
		return
	}
	var got answer
	if err := json.Unmarshal(body, &got); err != nil {
		t.Errorf("%v: %s", err, body)
		return
	}
	if got != want {
		t.Errorf("Looker saw %+v, want %+v", got, want)
	}
}

// checkLogins fails the test if Looker did not see this many calls of login_user.
func checkLogins(t *testing.T, fake *lookertest.Server, want int) {
	t.Helper()
	if n := fake.Count(lookertest.OpLoginUser, ""); n != want {
		t.Errorf("%d calls of login_user, want %d", n, want)
	}
}

// checkReplays fails the test if the cache did not send this many requests once more.
func checkReplays(t *testing.T, cache *lookerauth.Cache, want uint64) {
	t.Helper()
	if n := cache.Stats().Replays; n != want {
		t.Errorf("%d replays, want %d", n, want)
	}
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
