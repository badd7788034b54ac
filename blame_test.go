package lookerauth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

const denied = "/api/4.0/denied"

// denying is a Looker with one endpoint that answers 401 to every token.
func denying(looker *lookertest.Server) {
	looker.FailFunc(func(req lookertest.Request) lookertest.Fault {
		if strings.HasSuffix(denied, req.Path) {
			return answered(http.StatusUnauthorized)
		}
		return lookertest.Fault{}
	})
}

// Whether it has a body that can be sent again or not, and beside an endpoint that works.
func TestEndpointWithA401OfItsOwnCostsFewLoginsAndNoLogout(t *testing.T) {
	for name, body := range map[string]string{"replays": "", "no replays": "hello"} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				denying(looker)
				cache := newCache(t, looker)
				user := cache.User("789")
				client := user.Client()
				for range 3600 {
					req, _ := http.NewRequest(http.MethodPost, looker.URL+denied, nil)
					if body != "" {
						req.Body = &closeRecorder{Reader: strings.NewReader(body)}
					}
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusUnauthorized {
						t.Fatalf("got %s", resp.Status)
					}
					answersAs(t, client, looker, "789")
					time.Sleep(time.Second)
				}
				logins := looker.Count(lookertest.OpLoginUser, "789")
				if logins < 5 || logins > 15 {
					t.Errorf("%d logins in an hour", logins)
				}
				if n := looker.Count(lookertest.OpLogout, ""); n != 0 {
					t.Errorf("%d logouts", n)
				}
			})
		})
	}
}

// What is under way with the rejected token goes on: it may not be to blame.
func TestRejectedTokenStaysAliveAtLooker(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		denying(looker)
		user := newCache(t, looker).User("789")
		first := accessToken(t, user)
		statusOf(t, user.Client(), looker.URL+denied)
		if accessToken(t, user) == first {
			t.Error("the token was not replaced")
		}
		if n := looker.Alive()["789"]; n != 2 {
			t.Errorf("%d of its tokens are alive, want both", n)
		}
		logOut(t, user)
		if n := looker.Alive()["789"]; n != 0 {
			t.Errorf("%d of its tokens outlived Logout", n)
		}
	})
}

func TestTokensThatAreRevokedAgainAndAgainAreReplaced(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		for range 20 {
			looker.RevokeAll()
			answersAs(t, user.Client(), looker, "789")
			time.Sleep(time.Second)
		}
	})
}

func TestInvalidateAndLogoutEndTheWaitForAReplacement(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, user *lookerauth.TokenSource){
		"Invalidate": invalidate, "Logout": logOut,
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				denying(looker)
				user := newCache(t, looker).User("789")
				statusOf(t, user.Client(), looker.URL+denied)
				checkCalls(t, looker, 1, 2)
				statusOf(t, user.Client(), looker.URL+denied)
				checkCalls(t, looker, 1, 2)
				end(t, user)
				statusOf(t, user.Client(), looker.URL+denied)
				checkCalls(t, looker, 1, 4)
			})
		})
	}
}

// The SDKs log out after each job.
func TestLogoutThroughATransportIsNoRejection(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		user := cache.User("789")
		client := user.Client()
		for job := range 10 {
			answersAs(t, client, looker, "789")
			req, _ := http.NewRequest(http.MethodDelete, looker.URL+"/api/4.0/logout", nil)
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent || looker.Alive()["789"] != 0 {
				t.Errorf("job %d: the logout was answered %s", job, resp.Status)
			}
		}
		checkCalls(t, looker, 1, 10)
		stats := cache.Stats()
		if stats.Rejections != 0 || stats.Replays != 0 || stats.Logouts != 10 {
			t.Errorf("%+v", stats)
		}
		closeCache(t, cache)
		if n := looker.Count(lookertest.OpLogout, "789"); n != 10 {
			t.Errorf("%d logouts, want no more than those asked for", n)
		}
	})
}

func TestRefusedLogoutThroughATransportChangesNothing(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		token := accessToken(t, user)
		looker.FailNext(lookertest.OpLogout, answered(http.StatusInternalServerError))
		req, _ := http.NewRequest(http.MethodDelete, looker.URL+"/api/4.0/logout", nil)
		resp, err := user.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if accessToken(t, user) != token {
			t.Error("the token was replaced")
		}
	})
}

func TestDeleteOfAnythingElseIsNoLogout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		token := accessToken(t, user)
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			return respond(http.StatusNoContent, nil, ""), nil
		})
		client := &http.Client{Transport: user.Transport(base)}
		for _, path := range []string{
			"/api/4.0/sessions/77/logout", "/api/4.0/logout/1", "/logout",
		} {
			req, _ := http.NewRequest(http.MethodDelete, looker.URL+path, nil)
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if accessToken(t, user) != token {
				t.Fatalf("%s has retired the token", path)
			}
		}
	})
}

// A 503 says nothing of the token.
func TestReplayThatLookerDoesNotServeMendsNothing(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		n := 0
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			n++
			return respond([]int{401, 503}[(n-1)%2], nil, ""), nil
		})
		client := &http.Client{Transport: user.Transport(base)}
		for range 50 {
			statusOf(t, client, looker.URL+looks)
		}
		if logins := looker.Count(lookertest.OpLoginUser, "789"); logins > 3 {
			t.Errorf("%d logins for 50 requests", logins)
		}
	})
}
