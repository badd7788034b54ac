package lookerauth_test

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent")) // Go's own, on js
}

// simulate runs test in a bubble in which time is simulated, and goes on only when every goroutine
// waits for it. It fails if the test leaves a goroutine behind.
func simulate(t *testing.T, test func(t *testing.T, looker *lookertest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		versions := lookertest.WithAPIVersions("3.0", "3.1", "4.0")
		test(t, lookertest.New(t, lookertest.InMemory(), versions))
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

// nthUser returns the id of one of many users, who count from 0. None is the service account.
func nthUser(n int) string { return fmt.Sprint(100 + n) }

// setUsers says which users exist.
func setUsers(looker *lookertest.Server, ids ...string) {
	var users []lookertest.User
	for _, id := range ids {
		users = append(users, lookertest.User{ID: id})
	}
	looker.SetUsers(users...)
}

// useUsers gets the tokens of the first n users.
func useUsers(t *testing.T, cache *lookerauth.Cache, n int) {
	t.Helper()
	for i := range n {
		accessToken(t, cache.User(nthUser(i)))
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

// failing makes every call of this kind meet the fault from now on, and others none.
func failing(looker *lookertest.Server, op lookertest.Op, fault lookertest.Fault) {
	looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
		if call.Op == op {
			return fault
		}
		return lookertest.Fault{}
	})
}

// healthy ends what failing began.
func healthy(looker *lookertest.Server) { looker.FailFunc(nil) }

// failNext makes the next n calls of this kind meet the fault.
func failNext(looker *lookertest.Server, n int, op lookertest.Op, fault lookertest.Fault) {
	looker.FailNext(op, slices.Repeat([]lookertest.Fault{fault}, n)...)
}

// What Looker does to a call.

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
