package lookerauth_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestAfterLoginRunsBeforeAnyoneGetsTheToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		afterLogin := func(ctx context.Context, login lookerauth.Login) error {
			time.Sleep(time.Second)
			want := lookerauth.User("789")
			if login.UserID == "" {
				want = lookerauth.ServiceAccount()
			}
			if login.Identity != want {
				t.Errorf("the login of user %q is said to be of %v", login.UserID, login.Identity)
			}
			id := cmp.Or(login.UserID, lookertest.ServiceAccountID)
			answersContextAs(t, ctx, login.Client, looker, id)
			_, err := login.Client.Get("https://elsewhere.example/")
			checkError(t, err, lookerauth.ErrForeignOrigin)
			return nil
		}
		cache := newCache(t, looker, withAfterLogin(afterLogin))
		before := time.Now()
		accessToken(t, cache.User("789"))
		checkTook(t, before, 2*time.Second) // one for each of the two logins
	})
}

func TestAfterLoginThatTakesTooLongSaysSo(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		afterLogin := func(ctx context.Context, _ lookerauth.Login) error {
			<-ctx.Done()
			return ctx.Err()
		}
		_, err := newCache(t, looker, withAfterLogin(afterLogin)).ServiceAccount().Token()
		checkError(t, err, context.DeadlineExceeded)
		checkErrorSays(t, err, "LoginTimeout")
	})
}

// Code that ignores its context, or waits for itself, holds up nobody for longer.
func TestAfterLoginThatHangsIsGivenUp(t *testing.T) {
	for name, hang := range map[string]func(*lookerauth.Cache, lookerauth.Identity){
		"sleeps": func(*lookerauth.Cache, lookerauth.Identity) { time.Sleep(time.Hour) },
		"asks for the same identity": func(cache *lookerauth.Cache, who lookerauth.Identity) {
			_, _ = cache.As(who).Token()
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				var cache *lookerauth.Cache
				afterLogin := func(_ context.Context, login lookerauth.Login) error {
					if login.UserID == "789" {
						hang(cache, login.Identity)
					}
					return nil
				}
				timeout := loginTimeout(10 * time.Second)
				cache = newCache(t, looker, withAfterLogin(afterLogin), timeout)
				before := time.Now()
				_, err := cache.User("789").Token()
				checkError(t, err, context.DeadlineExceeded)
				if took := time.Since(before); took >= 11*time.Second {
					t.Errorf("it took %v", took)
				}
				accessToken(t, cache.User("790"))
				time.Sleep(time.Hour)
				if n := looker.Alive()["789"]; n != 0 {
					t.Errorf("%d tokens that nobody has are alive", n)
				}
			})
		})
	}
}

func TestCloseEndsWithItsContextWhileAfterLoginHangs(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		hanging := afterLogin(func() error { time.Sleep(time.Hour); return nil })
		cache := newCache(t, looker, hanging)
		inService := tokenInBackground(cache.ServiceAccount())
		time.Sleep(time.Minute)
		<-inService
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		checkError(t, cache.Close(ctx), context.DeadlineExceeded)
		checkTook(t, before, time.Second)
		time.Sleep(time.Hour)
	})
}

func TestAfterLoginsClientNeverLogsIn(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		afterLogin := func(_ context.Context, login lookerauth.Login) error {
			looker.Revoke(lookertest.ServiceAccountID)
			resp, err := login.Client.Get(looker.URL + "/api/4.0/session")
			if err != nil {
				return err
			}
			resp.Body.Close()
			return errors.New(resp.Status)
		}
		_, err := newCache(t, looker, withAfterLogin(afterLogin)).ServiceAccount().Token()
		checkErrorSays(t, err, "401")
		checkCalls(t, looker, 1, 0)
	})
}

func TestFailedAfterLoginFailsTheLoginAndRevokesItsToken(t *testing.T) {
	wrong := errors.New("no such workspace")
	for name, fail := range map[string]func(token string) error{
		"error":  func(token string) error { return fmt.Errorf("%w for %s", wrong, token) },
		"panic":  func(token string) error { panic(token) },
		"Goexit": func(string) error { exit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				var token string
				afterLogin := func(ctx context.Context, login lookerauth.Login) error {
					answersContextAs(t, ctx, login.Client, looker, lookertest.ServiceAccountID)
					return fail(token)
				}
				base := recordToken(looker.Transport(), &token)
				cache := newCache(t, looker, withTransport(base), withAfterLogin(afterLogin))
				_, err := cache.ServiceAccount().Token()
				if op := callError(t, err).Op; op != "login" {
					t.Fatalf("got %v, want it to be of login, not of %s", err, op)
				}
				if name == "error" {
					checkError(t, err, wrong)
				}
				synctest.Wait()
				if strings.Contains(err.Error(), token) {
					t.Errorf("the error tells the token: %v", err)
				}
				checkNoneAlive(t, looker)
			})
		})
	}
}

func TestFailureOfTheUsersCodeNamesTheCallItIsOf(t *testing.T) {
	for op, who := range map[string]lookerauth.Identity{
		"login": lookerauth.ServiceAccount(), "login_user": lookerauth.User("789"),
	} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			fails := func(_ context.Context, login lookerauth.Login) error {
				if login.Identity == who {
					return errors.New("no such workspace")
				}
				return nil
			}
			_, err := newCache(t, looker, withAfterLogin(fails)).As(who).Token()
			if e := callError(t, err); e.Op != op || e.Identity != who {
				t.Errorf("got the error of %s %v, want of %s %v", e.Op, e.Identity, op, who)
			}
		})
	}
}
