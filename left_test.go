package lookerauth_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// The failures are of the service account's login, or of the user's own.
func TestWhoLeavesALoginThatIsTriedAgainIsToldWhy(t *testing.T) {
	for _, op := range []lookertest.Op{lookertest.OpLogin, lookertest.OpLoginUser} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			var faults []lookertest.Fault
			for _, status := range []int{503, 502} {
				fault := answered(status)
				fault.Header = http.Header{"Retry-After": {"7"}}
				faults = append(faults, fault)
			}
			looker.FailNext(op, faults...)
			user := newCache(t, looker).User("789")
			var all sync.WaitGroup
			for patience, says := range map[time.Duration]string{
				time.Second:     ": looker answered 503",
				8 * time.Second: ": looker answered 502",
			} {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					before := time.Now()
					_, err := user.TokenContext(ctx)
					checkTook(t, before, patience)
					checkError(t, err, context.DeadlineExceeded)
					checkErrorSays(t, err, "lookerauth: "+string(op), says,
						"(it is being tried again): context deadline exceeded")
					if failed := (*lookerauth.CallError)(nil); errors.As(err, &failed) {
						t.Errorf("%v is the error of the login, which goes on", err)
					}
				})
			}
			accessToken(t, user)
			all.Wait()
		})
	}
}

// Its token was revoked while login is away: the user's own call was answered 401.
func TestWhoLeavesIsToldThatTheServiceAccountIsNotLoggedIn(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		accessToken(t, cache.ServiceAccount())
		looker.RevokeAll()
		looker.FailNext(lookertest.OpLogin, answered(503), answered(503))
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		_, err := cache.User("789").TokenContext(ctx)
		checkError(t, err, context.DeadlineExceeded)
		checkErrorSays(t, err, "lookerauth: login: looker answered 503", "being tried again")
	})
}

// wantPlain fails the test unless a caller with a second gets his context's own error.
func wantPlain(t *testing.T, source *lookerauth.TokenSource) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := source.TokenContext(ctx); err != context.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

func TestFailureThatIsOverIsNotTold(t *testing.T) {
	for _, op := range []lookertest.Op{lookertest.OpLogin, lookertest.OpLoginUser} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			slow := lasting(5 * time.Second)
			cache := newCache(t, looker, withAfterLogin(
				func(ctx context.Context, _ lookerauth.Login) error { return slow(ctx) }))
			if op == lookertest.OpLoginUser {
				accessToken(t, cache.ServiceAccount())
			}
			looker.FailNext(op, answered(503))
			wantPlain(t, cache.User("789")) // by then AfterLogin runs
		})
	}
}

func TestFailureOfALoginThatIsNotWaitedForIsNotTold(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		source := newElsewhere(looker)
		source.set(lasting(10*time.Second), func(t *oauth2.Token) *oauth2.Token { return t })
		fleet := newFleet(t, looker, 2,
			withUserToken(source.userToken), withStore(newMemoryStore()))
		first := tokenInBackground(fleet[0].User("789"))
		synctest.Wait() // it has the lease

		busy := answered(503)
		busy.Header = http.Header{"Retry-After": {"7"}}
		looker.FailNext(lookertest.OpLogin, busy)
		service := tokenInBackground(fleet[1].ServiceAccount())
		synctest.Wait() // it waits for its next try
		wantPlain(t, fleet[1].User("789"))
		checkError(t, <-first, nil)
		checkError(t, <-service, nil)
	})
}
