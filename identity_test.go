package lookerauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func TestIdentityIsPrintedUnambiguously(t *testing.T) {
	for want, who := range map[string]lookerauth.Identity{
		"service_account":      lookerauth.ServiceAccount(),
		"user:789":             lookerauth.User("789"),
		"user:":                lookerauth.User(""),
		"user:service_account": lookerauth.User("service_account"),
		"nobody":               {},
	} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("", "identity", who)
		if got := fmt.Sprint(who); got != want || who.String() != want {
			t.Errorf("printed as %s, want %s", got, want)
		}
		if !strings.Contains(log.String(), "identity="+want+"\n") {
			t.Errorf("%s is logged as %s", want, log.String())
		}
	}
}

func TestIdentityIsAKeyOfMaps(t *testing.T) {
	seen := map[lookerauth.Identity]int{}
	for range 2 {
		seen[lookerauth.User("789")]++
		seen[lookerauth.User("790")]++
		seen[lookerauth.ServiceAccount()]++
		seen[lookerauth.Identity{}]++
	}
	if len(seen) != 4 {
		t.Errorf("%v", seen)
	}
}

func TestSourceKnowsWhoseItIs(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		for _, who := range []lookerauth.Identity{
			lookerauth.ServiceAccount(), lookerauth.User("789"), lookerauth.User(""), {},
		} {
			if got := cache.As(who).Identity(); got != who {
				t.Errorf("%v, want %v", got, who)
			}
		}
		accessToken(t, cache.User("789"))
		if got := cache.User("789").Identity(); got != lookerauth.User("789") {
			t.Errorf("%v after a login", got)
		}
		if got := cache.ServiceAccount().Identity(); got != lookerauth.ServiceAccount() {
			t.Errorf("%v", got)
		}
	})
}

func TestContextNamesAnIdentity(t *testing.T) {
	ctx := t.Context()
	if who := lookerauth.FromContext(ctx); who != (lookerauth.Identity{}) {
		t.Errorf("%v in an empty context", who)
	}
	for _, who := range []lookerauth.Identity{
		lookerauth.User("789"), lookerauth.ServiceAccount(), {},
	} {
		ctx = lookerauth.WithIdentity(ctx, who)
		if got := lookerauth.FromContext(ctx); got != who {
			t.Errorf("%v, want %v", got, who)
		}
	}
	ctx = lookerauth.WithServiceAccount(lookerauth.WithUser(ctx, "789"))
	if got := lookerauth.FromContext(ctx); got != lookerauth.ServiceAccount() {
		t.Errorf("%v", got)
	}
}

// A gateway that decodes the path of a login could be led to another endpoint by any other id.
func TestOnlyAnIDThatNoGatewayTakesForAnythingElseIsAUsers(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		for b := range 256 {
			userID := "7" + string([]byte{byte(b)}) + "9"
			if strings.Contains(letters+strings.ToUpper(letters)+"0123456789-_.:@ ", userID[1:2]) {
				accessToken(t, cache.User(userID))
			} else {
				failsWith(t, cache.User(userID), lookerauth.ErrInvalidIdentity)
			}
		}
		calls := len(looker.Requests())
		for _, userID := range []string{
			"../users", "789/../790", "..%2fusers", "%2e%2e", `..\users`, "..;/users",
			" ", " 1", "1 ", " .", ". ", ".. ", " ..", "1\u00a0", "ü", "\u202e1", "１", "．．", "／",
			strings.Repeat("x", 256),
		} {
			failsWith(t, cache.User(userID), lookerauth.ErrInvalidIdentity)
		}
		if made := len(looker.Requests()) - calls; made != 0 {
			t.Errorf("%d calls for ids that are nobody's", made)
		}
	})
}

func TestErrorDoesNotRepeatAHugeID(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		_, err := newCache(t, looker).User(strings.Repeat("/", 1<<20)).Token()
		checkError(t, err, lookerauth.ErrInvalidIdentity)
		if n := len(err.Error()); n > 1000 {
			t.Errorf("the error has %d bytes", n)
		}
	})
}

const letters = "abcdefghijklmnopqrstuvwxyz"

func TestUsingNobodyIsAnError(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		nobody := cache.As(lookerauth.Identity{})
		_, err := nobody.Token()
		checkError(t, err, lookerauth.ErrNoIdentity)
		_, err = nobody.TokenContext(t.Context())
		checkError(t, err, lookerauth.ErrNoIdentity)
		checkError(t, nobody.Logout(t.Context()), lookerauth.ErrNoIdentity)
		_, err = nobody.Client().Get(looker.URL + "/api/4.0/user")
		checkError(t, err, lookerauth.ErrNoIdentity)
		ctx := lookerauth.WithUser(t.Context(), "789")
		ctx = lookerauth.WithIdentity(ctx, lookerauth.Identity{})
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, looker.URL+"/api/4.0/user", nil)
		_, err = cache.Transport(nil).RoundTrip(req)
		checkError(t, err, lookerauth.ErrNoIdentity)
		checkCalls(t, looker, 0, 0)
	})
}

func TestKeyAndLoginShowNoSecret(t *testing.T) {
	key := lookerauth.APIKey{ClientID: "4QDkCyCtZz", ClientSecret: "7Ehg"}
	login := lookerauth.Login{Identity: lookerauth.User("789"), UserID: "789", Client: &http.Client{
		Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil }),
	}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		text := fmt.Sprintf(verb+verb+verb, key, &key, []lookerauth.APIKey{key})
		if strings.Contains(text, "4QDk") || strings.Contains(text, "7Ehg") {
			t.Errorf("%s: %s", verb, text)
		}
		if text := fmt.Sprintf(verb, login); !strings.Contains(text, "user:789") {
			t.Errorf("%s: %s", verb, text)
		}
	}
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var token string
		cache := newCache(t, looker, withTransport(recordToken(looker.Transport(), &token)),
			withAfterLogin(func(_ context.Context, login lookerauth.Login) error {
				statusOf(t, login.Client, looker.URL+"/api/4.0/user") // tells the token
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
					text := fmt.Sprintf(verb+verb+verb, login, login.Client, login.Client.Transport)
					if token == "" || strings.Contains(text, token) {
						t.Errorf("%s: %s", verb, text)
					}
				}
				return nil
			}))
		accessToken(t, cache.ServiceAccount())
	})
	for _, value := range []any{key, login} {
		text, err := json.Marshal(map[string]any{"value": value})
		if err != nil || strings.Contains(string(text), "4QDk") {
			t.Errorf("%s, %v", text, err)
		}
	}
}

func TestTimeoutIsOneForNetError(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		failNext(looker, 3, lookertest.OpLogin, delayed(time.Hour))
		_, err := newCache(t, looker).User("789").Token()
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("no time-out: %v", err)
		}
		checkError(t, err, context.DeadlineExceeded)

		failNext(looker, 3, lookertest.OpLogin, answered(503))
		time.Sleep(time.Minute)
		if _, err := newCache(t, looker).User("789").Token(); callError(t, err).Timeout() {
			t.Errorf("a time-out: %v", err)
		}
	})
}
