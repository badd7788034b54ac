package lookerauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// A key that no encoding leaves as it is.
const (
	oddID     = `id/with+"signs" & \spaces`
	oddSecret = `s3cr&t/ "key" \100%+`
)

// indiscreet is a base that tells all it knows.
type indiscreet struct {
	base   http.RoundTripper
	echo   string // what Looker quotes in its error; "" has it answer properly
	broken bool   // whether the base's own error quotes the request
	quoted error  // the base's own error
}

func (b *indiscreet) RoundTrip(req *http.Request) (*http.Response, error) {
	if b.broken {
		body, _ := io.ReadAll(req.Body)
		return nil, fmt.Errorf("cannot send %s %s %v: %w",
			req.URL, body, req.Header, io.ErrUnexpectedEOF)
	}
	if b.quoted != nil {
		return nil, b.quoted
	}
	if b.echo == "" {
		return b.base.RoundTrip(req)
	}
	message := must(json.Marshal(map[string]string{"message": b.echo}))
	return respond(http.StatusBadRequest, nil, string(message)), nil
}

func TestNoErrorOrLogLineTellsASecret(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetKey(oddID, oddSecret)
		base := &indiscreet{base: looker.Transport()}
		var log bytes.Buffer
		handler := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
		cache := newCache(t, looker, withTransport(base), withLog(handler))
		service, user := cache.ServiceAccount(), cache.User("789")
		secrets := []string{oddID, oddSecret, accessToken(t, user), accessToken(t, service)}

		base.broken = true // it quotes the requests
		_, err := cache.User("790").Token()
		checkTellsNone(t, err, secrets)
		checkError(t, err, io.ErrUnexpectedEOF)
		checkTellsNone(t, user.Logout(t.Context()), secrets)
		invalidate(t, service)
		_, err = service.Token()
		checkTellsNone(t, err, secrets)
		checkErrorSays(t, cache.Close(t.Context()), "the logout of 2 of 2 identities failed")

		checkTextTellsNone(t, log.String(), secrets)
		if !strings.Contains(log.String(), "login failed") {
			t.Error("nothing was logged")
		}
	})
}

// spellings are how a message may write a secret.
var spellings = map[string]func(string) string{
	"raw":     func(s string) string { return s },
	"JSON":    asJSON,
	"JSON²":   func(s string) string { return asJSON(asJSON(s)) },
	"%q":      func(s string) string { return fmt.Sprintf("%q", s) },
	"HTML":    asHTML,
	"form":    url.QueryEscape,
	"form²":   func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
	"%2f":     asLowerCaseURL,
	"in turn": func(s string) string { return asHTML(asJSON(url.QueryEscape(s))) },
}

func asJSON(s string) string { return string(must(json.Marshal(s))) }

func asHTML(s string) string {
	return strings.NewReplacer("+", "&#43;", "/", "&#x2F;").Replace(html.EscapeString(s))
}

func asLowerCaseURL(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// checkTellsNone looks for the secrets, in all spellings, in an error that had to be scrubbed.
func checkTellsNone(t *testing.T, err error, secrets []string) {
	t.Helper()
	checkErrorSays(t, err, "[secret]")
	checkTextTellsNone(t, fmt.Sprint(err), secrets)
}

func checkTextTellsNone(t *testing.T, text string, secrets []string) {
	t.Helper()
	for name, spell := range spellings {
		for _, secret := range secrets {
			if strings.Contains(text, strings.Trim(spell(secret), `"`)) {
				t.Errorf("%q, as %s, is in %s", secret, name, text)
			}
		}
	}
}

// eachSpelling runs test with every secret in every spelling.
func eachSpelling(secrets []string, test func(quoted string)) {
	for _, spell := range spellings {
		for _, secret := range secrets {
			test(spell(secret))
		}
	}
}

// strangers returns a function that asks for the token of another user each time, who is not held
// down, and returns the error.
func strangers(cache *lookerauth.Cache) func() error {
	n := 0
	return func() error {
		n++
		_, err := cache.User(nthUser(n)).Token()
		return err
	}
}

// Whoever is logged in or out meanwhile, Looker may quote the secrets of all.
func TestMessageTellsNoSecretOfAnyIdentity(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetKey(oddID, oddSecret)
		base := &indiscreet{base: looker.Transport()}
		cache := newCache(t, looker, withTransport(base))
		user, other := cache.User("789"), cache.User("790")
		secrets := []string{
			oddID, oddSecret, accessToken(t, cache.ServiceAccount()),
			accessToken(t, user), accessToken(t, other),
		}
		login := strangers(cache)
		eachSpelling(secrets, func(quoted string) {
			base.echo = "1 " + quoted + " 2"
			checkTellsNone(t, login(), secrets)
			base.echo = strings.Repeat("x", 170) + quoted + quoted // which is cut
			checkTellsNone(t, login(), secrets)
			base.echo = ""
			accessToken(t, other)
			base.echo = quoted
			checkTellsNone(t, other.Logout(t.Context()), secrets)
		})
		base.echo = ""
	})
}

func TestErrorOfTheUsersCodeTellsNoSecret(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetKey(oddID, oddSecret)
		var broken struct{ transport, apiKey, afterLogin error }
		transport := roundTripper(func(req *http.Request) (*http.Response, error) {
			if broken.transport != nil {
				return nil, broken.transport
			}
			return looker.Transport().RoundTrip(req)
		})
		cache := newCache(t, looker, withTransport(transport),
			withAPIKey(func() (string, string, error) { return oddID, oddSecret, broken.apiKey }),
			afterLogin(func() error { return broken.afterLogin }))
		service := cache.ServiceAccount()
		secrets := []string{
			oddID, oddSecret, accessToken(t, service), accessToken(t, cache.User("789")),
		}
		login := strangers(cache)
		eachSpelling(secrets, func(quoted string) {
			broken.transport = fmt.Errorf("cannot send %s", quoted)
			checkTellsNone(t, login(), secrets)
			broken.transport = nil
			broken.afterLogin = fmt.Errorf("cannot use %s", quoted)
			checkTellsNone(t, login(), secrets)
			synctest.Wait() // its token is logged out
			broken.afterLogin = nil
		})
		eachSpelling(secrets, func(quoted string) {
			invalidate(t, service)
			broken.apiKey = fmt.Errorf("%s is no key: %w", quoted, io.EOF)
			_, err := service.Token()
			checkTellsNone(t, err, secrets)
			checkError(t, err, io.EOF)
			broken.apiKey = nil
			time.Sleep(time.Minute) // the hold-down
		})
	})
}

// Not even the key that comes with it, of which nobody else knows.
func TestErrorOfTheFirstAPIKeyTellsNoSecret(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		failed := fmt.Errorf("%s and %q are out of date", oddID, oddSecret)
		cache := newCache(t, looker, withStore(newMemoryStore()),
			withAPIKey(func() (string, string, error) { return oddID, oddSecret, failed }))
		_, err := cache.User("789").Token()
		checkTellsNone(t, err, []string{oddID, oddSecret})
		checkTellsNone(t, cache.User("789").Logout(t.Context()), []string{oddID, oddSecret})
	})
}

func TestTokenFromTheStoreIsASecret(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		base := &indiscreet{base: looker.Transport()}
		store := newMemoryStore()
		fleet := newFleet(t, looker, 2, withStore(store), withTransport(base))
		secrets := []string{accessToken(t, fleet[0].User("789"))}
		accessToken(t, fleet[1].User("789"))
		checkStoreHits(t, fleet[1], 2) // the service account's, too
		login := strangers(fleet[1])
		eachSpelling(secrets, func(quoted string) {
			base.echo = quoted
			checkTellsNone(t, login(), secrets)
		})
		base.echo = ""
	})
}

func TestErrorOfTheStoreTellsNoSecret(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetKey(oddID, oddSecret)
		var log bytes.Buffer
		store := newMemoryStore()
		handler := slog.NewTextHandler(&log, nil)
		cache := newCache(t, looker, withStore(store), withLog(handler))
		user := cache.User("789")
		secrets := []string{oddID, oddSecret, accessToken(t, user)}
		eachSpelling(secrets, func(quoted string) {
			accessToken(t, user)
			store.fail(errors.New("no place for " + quoted))
			checkTellsNone(t, user.Logout(t.Context()), secrets)
			store.works()
		})
		checkTextTellsNone(t, log.String(), secrets)
	})
}

func TestResponseTellsNoToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		token := accessToken(t, user)
		resp, err := user.Client().Get(looker.URL + looks)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		for name, values := range resp.Request.Header {
			if strings.Contains(strings.Join(values, " "), token) {
				t.Errorf("the response's request has the token in %s", name)
			}
		}
		synctest.Wait()
	})
}
