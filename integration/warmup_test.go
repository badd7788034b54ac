package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// warmUpUsers logs users in who have not asked for anything yet.
func warmUpUsers(ctx context.Context, cache *lookerauth.Cache, lately []string) error {
	var warmUp errgroup.Group
	warmUp.SetLimit(8) // half of MaxConcurrentLogins
	for _, id := range lately {
		warmUp.Go(func() error {
			_, err := cache.User(id).TokenContext(ctx)
			return err
		})
	}
	err := warmUp.Wait()
	return err
}

// warmUpAtOnce does it without a limit of its own.
func warmUpAtOnce(ctx context.Context, cache *lookerauth.Cache, lately []string) error {
	var warmUp errgroup.Group
	for _, id := range lately {
		warmUp.Go(func() error {
			_, err := cache.User(id).TokenContext(ctx)
			return err
		})
	}
	return warmUp.Wait()
}

// userIDs returns the ids of so many users.
func userIDs(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint(1001+i))
	}
	return ids
}

// checkWaits fails the test if a user does not wait as long as is wanted.
func checkWaits(
	t *testing.T, cache *lookerauth.Cache, userID string, want func(time.Duration) bool,
) {
	t.Helper()
	start := time.Now()
	if _, err := cache.User(userID).TokenContext(t.Context()); err != nil {
		t.Error(err)
	}
	if waited := time.Since(start); !want(waited) {
		t.Errorf("user %s waited for %v", userID, waited)
	}
}

// Whoever comes while others are warmed up queues behind those that are in the queue already.
func TestNewcomerDuringAWarmUpWaitsForHisOwnLoginAlone(t *testing.T) {
	const login = 500 * time.Millisecond
	for name, test := range map[string]struct {
		warmUp func(context.Context, *lookerauth.Cache, []string) error
		want   func(d time.Duration) bool
	}{
		"8 at a time": {warmUpUsers, func(d time.Duration) bool { return d == login }},
		"all at once": {warmUpAtOnce, func(d time.Duration) bool { return d > 5*login }},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, fake *lookertest.Server) {
				failing(fake, lookertest.OpLoginUser, lookertest.Fault{Delay: login})
				cache := newCache(t, fake.Config())
				lately := userIDs(200)
				go func() {
					if err := test.warmUp(t.Context(), cache, lately); err != nil {
						t.Error(err)
					}
				}()
				time.Sleep(2 * login)
				checkWaits(t, cache, "789", test.want)

				time.Sleep(time.Minute)
				synctest.Wait()
				for _, id := range lately {
					checkWaits(t, cache, id, func(d time.Duration) bool { return d == 0 })
				}
				checkLogins(t, fake, len(lately)+1)
			})
		})
	}
}

func TestWarmUpGoesOnWhenLookerDoesNotKnowAUser(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		lately := userIDs(20)
		var known []lookertest.User
		for _, id := range lately[1:] {
			known = append(known, lookertest.User{ID: id})
		}
		fake.SetUsers(known...)
		cache := newCache(t, fake.Config())

		err := warmUpUsers(t.Context(), cache, lately)

		if !errors.Is(err, lookerauth.ErrUserNotFound) {
			t.Errorf("the error is %v", err)
		}
		if users := cache.Stats().Users; users != len(lately)-1 {
			t.Errorf("%d users are logged in, want %d", users, len(lately)-1)
		}
	})
}

// Nobody refreshes a token that nobody uses.
func TestWarmUpLastsForOneTokensLife(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		cache := newCache(t, fake.Config())
		if err := warmUpUsers(t.Context(), cache, []string{"789"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		checkLogins(t, fake, 1)
		checkMe(t, sdkOf(fake, cache.User("789")), "789")
		checkLogins(t, fake, 2)
	})
}
