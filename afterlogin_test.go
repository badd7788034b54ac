package lookerauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestAfterLoginRunsBeforeAnyoneGetsTheToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(ctx context.Context, userID string, client *http.Client) error {
				time.Sleep(time.Second)
				want := userID
				if userID == "" {
					want = lookertest.ServiceAccountID
				}
				if got := whoAnswered(t, ctx, client, looker.URL+"/api/4.0/looks"); got != want {
					t.Errorf("the client of %q acts as %q", userID, got)
				}
				if _, err := client.Get("https://elsewhere.example/"); !errors.Is(err, lookerauth.ErrForeignOrigin) {
					t.Errorf("the client of %q goes elsewhere: %v", userID, err)
				}
				return nil
			}
		})
		before := time.Now()
		accessToken(t, cache.User("789"))
		if waited := time.Since(before); waited != 2*time.Second {
			t.Errorf("the token was there after %v, want a second for each of the two logins", waited)
		}
	})
}

func TestAfterLoginThatTakesTooLongSaysSo(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(ctx context.Context, _ string, _ *http.Client) error { <-ctx.Done(); return ctx.Err() }
		})
		if _, err := cache.ServiceAccount().Token(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "LoginTimeout") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAfterLoginsClientNeverLogsIn(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.AfterLogin = func(_ context.Context, userID string, client *http.Client) error {
				looker.Revoke(userID)
				resp, err := client.Get(looker.URL + "/api/4.0/session")
				if err != nil {
					return err
				}
				resp.Body.Close()
				return errors.New(resp.Status)
			}
		})
		if _, err := cache.ServiceAccount().Token(); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("got %v, want the 401", err)
		}
		checkCalls(t, looker, 1, 0)
	})
}

func TestFailedAfterLoginFailsTheLoginAndKillsItsToken(t *testing.T) {
	wrong := errors.New("no such workspace")
	for name, afterLogin := range map[string]func(token string) error{
		"error":  func(token string) error { return fmt.Errorf("%w for %s", wrong, token) },
		"panic":  func(token string) error { panic(token) },
		"Goexit": func(string) error { exit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				var token string
				cache := newCache(t, looker, func(cfg *lookerauth.Config) {
					cfg.Transport = recordToken(cfg.Transport, &token)
					cfg.AfterLogin = func(ctx context.Context, userID string, client *http.Client) error {
						whoAnswered(t, ctx, client, looker.URL+"/api/4.0/looks")
						return afterLogin(token)
					}
				})
				_, err := cache.ServiceAccount().Token()
				var failed *lookerauth.LoginError
				if !errors.As(err, &failed) || failed.Op != "login" {
					t.Fatalf("got %v, want a *LoginError", err)
				}
				if name == "error" && !errors.Is(err, wrong) {
					t.Errorf("%v does not hold the cause", err)
				}
				synctest.Wait()
				if strings.Contains(err.Error(), token) {
					t.Errorf("the error tells the token: %v", err)
				}
				if alive := looker.Alive(); len(alive) != 0 {
					t.Errorf("alive at Looker: %v", alive)
				}
			})
		})
	}
}
