package lookerauth_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestConcurrentCallersShareAFailure(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		failing(looker, lookertest.OpLogin, answered(503))
		before := time.Now()
		together(200, func(int) {
			_, err := cache.ServiceAccount().Token()
			if status := callError(t, err).StatusCode; status != 503 {
				t.Errorf("got %v, want the 503", err)
			}
		})
		if waited := time.Since(before); waited > 3*time.Second {
			t.Errorf("callers waited %v", waited)
		}
		time.Sleep(900 * time.Millisecond)
		if _, err := cache.ServiceAccount().Token(); err == nil {
			t.Error("no error within the hold-down")
		}
		checkCalls(t, looker, 3, 0)
		want := lookerauth.Stats{Joins: 199}
		want.ServiceAccount.Failed.Unavailable = 1
		checkStats(t, cache, want)
	})
}

// isAgain reports whether err is the error first, which says how old it is.
func isAgain(err, first error) bool {
	return first != nil && err != nil && strings.HasPrefix(err.Error(), first.Error()+" (")
}

func TestHoldDownDoublesUpToHalfAMinute(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		service := newCache(t, looker).ServiceAccount()
		failing(looker, lookertest.OpLogin, answered(500))
		for _, holdDown := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			_, first := service.Token()
			calls := looker.Count(lookertest.OpLogin, "")
			time.Sleep(holdDown*time.Second - time.Millisecond)
			_, err := service.Token()
			if !isAgain(err, first) || looker.Count(lookertest.OpLogin, "") != calls {
				t.Errorf("another call before %d s, or another error: %v", holdDown, err)
			}
			time.Sleep(time.Millisecond)
		}
		healthy(looker)
		accessToken(t, service)

		// A success starts it all over.
		failNext(looker, 3, lookertest.OpLogin, answered(500))
		time.Sleep(time.Hour)
		if _, err := service.Token(); err == nil {
			t.Error("no error")
		}
		time.Sleep(time.Second)
		accessToken(t, service)
	})
}

func TestPermanentFailureHoldsDownForHalfAMinute(t *testing.T) {
	for _, fault := range []lookertest.Fault{
		answered(400), answered(403), answered(404), {Body: "<html>"},
	} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			service := newCache(t, looker).ServiceAccount()
			looker.FailNext(lookertest.OpLogin, fault)
			_, first := service.Token()
			time.Sleep(30*time.Second - time.Millisecond)
			if _, err := service.Token(); !isAgain(err, first) {
				t.Errorf("%+v: got %v, want the same error", fault, err)
			}
			time.Sleep(time.Millisecond)
			accessToken(t, service)
		})
	}
}

func TestOldestFailureIsForgottenBeyondTenThousand(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var calls atomic.Int64
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPost && strings.Contains(req.URL.Path, "/login/") {
				calls.Add(1)
				return respond(http.StatusNotFound, nil, `{"message":"Not found"}`), nil
			}
			return looker.Transport().RoundTrip(req)
		})
		cache := newCache(t, looker, withTransport(base))
		ask := func(userID string) int64 {
			before := calls.Load()
			failsWith(t, cache.User(userID), lookerauth.ErrUserNotFound)
			return calls.Load() - before
		}
		ask("first")
		for i := range 9_999 {
			ask(fmt.Sprint(i))
		}
		if n := ask("first"); n != 0 {
			t.Errorf("%d calls for the oldest of 10,000 failures, want it held down", n)
		}
		ask("one more")
		if n := ask("first"); n != 1 {
			t.Errorf("%d calls for the oldest of 10,001 failures, want it forgotten", n)
		}
	})
}

func TestServiceAccountsFailureHoldsNoUserDown(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		failNext(looker, 3, lookertest.OpLogin, answered(503))
		if _, err := cache.ServiceAccount().Token(); err == nil {
			t.Error("no error")
		}
		time.Sleep(900 * time.Millisecond)
		if _, err := cache.User("789").Token(); err == nil {
			t.Error("no error while the service account is held down")
		}
		var want lookerauth.Stats
		want.ServiceAccount.Failed.Unavailable = 1
		checkStats(t, cache, want)
		time.Sleep(100 * time.Millisecond)
		accessToken(t, cache.User("789"))
	})
}

// Looker may just be creating the user.
func TestUnknownUserIsHeldDownForFiveSeconds(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setUsers(looker, "789")
		user := newCache(t, looker).User("790")
		for range 3 {
			failsWith(t, user, lookerauth.ErrUserNotFound)
			time.Sleep(5*time.Second - 1)
			failsWith(t, user, lookerauth.ErrUserNotFound)
			time.Sleep(time.Nanosecond)
		}
		checkCalls(t, looker, 1, 3)
		setUsers(looker, "789", "790")
		accessToken(t, user)
	})
}

func TestLogoutEndsTheHoldDown(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetAdmin(false)
		user := newCache(t, looker).User("789")
		failsWith(t, user, lookerauth.ErrForbidden)
		looker.SetAdmin(true)
		failsWith(t, user, lookerauth.ErrForbidden)
		logOut(t, user)
		accessToken(t, user)
	})
}

func TestErrorOfAHoldDownSaysItsAge(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		fault := answered(403)
		fault.Delay = time.Second
		failing(looker, lookertest.OpLogin, fault)
		const live = "lookerauth: login: looker answered 403 (Forbidden)"
		together(10, func(int) { // all of whom wait for the one call
			if _, err := cache.ServiceAccount().Token(); err.Error() != live {
				t.Errorf("a live failure says %v", err)
			}
		})
		for _, test := range []struct {
			after time.Duration
			want  string
		}{
			{0, "answered 0 s ago; next try in 30 s"},
			{21 * time.Second, "answered 21 s ago; next try in 9 s"},
			{8950 * time.Millisecond, "answered 29.9 s ago; next try in 0.1 s"},
		} {
			time.Sleep(test.after)
			for _, source := range []*lookerauth.TokenSource{
				cache.ServiceAccount(), cache.User("789"), // whose login waits for that
			} {
				_, err := source.Token()
				if want := live + " (" + test.want + ")"; err.Error() != want {
					t.Errorf("got  %v\nwant %s", err, want)
				}
				failed := callError(t, err)
				if failed.Op != "login" || failed.StatusCode != 403 ||
					failed.Message != "Forbidden" {
					t.Errorf("it is another one: %+v", failed)
				}
			}
		}
		checkCalls(t, looker, 1, 0)
	})
}

func TestErrorOfAHoldDownSaysThatNothingAnswered(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		service := newCache(t, looker).ServiceAccount()
		failing(looker, lookertest.OpLogin, lookertest.Fault{Drop: true})
		_, err := service.Token()
		callError(t, err)
		time.Sleep(time.Second / 2)
		_, err = service.Token()
		checkErrorSays(t, err, "failed 0.5 s ago; next try in 0.5 s")
	})
}

func TestErrorOfAPauseSaysItsAge(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.FailNext(lookertest.OpLoginUser, rateLimited("240"))
		_, err := cache.User("789").Token()
		if strings.Contains(err.Error(), "ago") {
			t.Errorf("a live failure says %v", err)
		}
		for _, userID := range []string{"789", "790"} { // held down; paused
			_, err := cache.User(userID).Token()
			checkError(t, err, lookerauth.ErrRateLimited)
			checkErrorSays(t, err, "answered 0 s ago; next try in 240 s")
		}
		time.Sleep(time.Minute)
		for _, userID := range []string{"789", "790"} {
			_, err := cache.User(userID).Token()
			checkErrorSays(t, err, "answered 60 s ago; next try in 180 s")
			if after := callError(t, err).RetryAfter; after != 3*time.Minute {
				t.Errorf("user %s: retry after %v", userID, after)
			}
		}
	})
}
