package lookerauth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// What a newcomer does wrong, and the whole sentence that says what is wrong and what to do.
func TestMistakesAreExplained(t *testing.T) {
	key := func(change func(*lookerauth.Config)) func(*lookerauth.Config, *lookertest.Server) {
		return func(cfg *lookerauth.Config, _ *lookertest.Server) { change(cfg) }
	}
	for _, test := range []struct {
		mistake string
		make    func(cfg *lookerauth.Config, looker *lookertest.Server)
		userID  string
		want    string
	}{
		{"no scheme", key(func(cfg *lookerauth.Config) { cfg.BaseURL = "demo.looker.com:19999" }), "789",
			"lookerauth: BaseURL is not an address: write it as https://host, with a port if there is one"},
		{"the API's path in the base URL", key(func(cfg *lookerauth.Config) { cfg.BaseURL = "https://demo.looker.com:19999/api/4.0" }), "789",
			"lookerauth: BaseURL ends in /api/4.0: leave that out, and set APIVersion instead"},
		{"http to a real host", key(func(cfg *lookerauth.Config) { cfg.BaseURL = "http://demo.looker.com:19999" }), "789",
			"lookerauth: BaseURL is http://, which would send the API key in the clear: use https://, or set AllowHTTP"},
		{"no key", key(func(cfg *lookerauth.Config) { cfg.ClientSecret = "" }), "789",
			"lookerauth: ClientSecret is missing: create an API key in Looker under Admin, Users, Edit, API keys"},
		{"a line break at the key's end", key(func(cfg *lookerauth.Config) { cfg.ClientSecret += "\n" }), "789",
			"lookerauth: ClientSecret starts or ends with white space: trim it"},
		{"a slash at the base URL's end", key(func(cfg *lookerauth.Config) { cfg.BaseURL += "/" }), "789", ""},

		{"id and secret swapped", key(func(cfg *lookerauth.Config) { cfg.ClientID, cfg.ClientSecret = cfg.ClientSecret, cfg.ClientID }), "789",
			`lookerauth: login: looker answered 404 ("Not found"): the API key was refused: check the client id and the client secret, ` +
				"and that they are not swapped"},
		{"the web port", key(func(cfg *lookerauth.Config) { cfg.Transport = webPort(404) }), "789",
			"lookerauth: login: looker answered 404: the answer did not come from a Looker API: " +
				"check the base URL (the API of a self-hosted Looker has a port of its own, usually 19999)"},
		{"a proxy's page", key(func(cfg *lookerauth.Config) { cfg.Transport = webPort(200) }), "789",
			"lookerauth: login: looker answered 200: its body is not an access token in JSON: the answer did not come from a Looker API: " +
				"check the base URL (the API of a self-hosted Looker has a port of its own, usually 19999)"},
		{"a proxy that redirects to a page", key(func(cfg *lookerauth.Config) { cfg.Transport = webPort(302) }), "789",
			"lookerauth: login: looker answered 302: a redirect, which the API key must not follow: the answer did not come from a Looker API: " +
				"check the base URL (the API of a self-hosted Looker has a port of its own, usually 19999)"},
		{"a key without the Admin role", func(_ *lookerauth.Config, looker *lookertest.Server) { looker.SetAdmin(false) }, "789",
			"lookerauth: login_user 789: looker answered 403 (Forbidden): the service account may not act as this user: give it the Admin role " +
				"(Looker (Google Cloud core) also wants an API-only service account, and an Embed user to act as)"},
		{"an email address instead of an id", func(_ *lookerauth.Config, looker *lookertest.Server) { looker.SetUsers("789") }, "me@looker.example",
			`lookerauth: login_user me@looker.example: looker answered 404 ("Not found"): no such user: use the id that Looker gave the user, ` +
				"not an email address or an external id"},
		{"a user id with a space at its end", func(_ *lookerauth.Config, looker *lookertest.Server) { looker.SetUsers("789") }, "789 ",
			`lookerauth: login_user "789 ": looker answered 404 ("Not found"): no such user: use the id that Looker gave the user, ` +
				"not an email address or an external id"},
		{"no user id", key(func(*lookerauth.Config) {}), "",
			`lookerauth: user "": invalid user id: it must have 1 to 255 bytes, no control character, and not be "." or ".."`},
	} {
		t.Run(test.mistake, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				cfg := looker.Config()
				test.make(&cfg, looker)
				checkSentence(t, ask(t, cfg, test.userID), test.want)
			})
		})
	}
}

// ask asks for a user's token with this Config.
func ask(t *testing.T, cfg lookerauth.Config, userID string) error {
	t.Helper()
	cache, err := lookerauth.New(cfg)
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = cache.Close(t.Context()) })
	_, err = cache.User(userID).Token()
	return err
}

func checkSentence(t *testing.T, err error, want string) {
	t.Helper()
	if got := errorText(err); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestMistakesOfRequestsAreExplained(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		for url, want := range map[string]string{
			looker.URL:                "lookerauth: the request's context names no identity: use WithUser or WithServiceAccount",
			"https://looker.example/": "lookerauth: the request leads away from the base URL, and was not sent: use another http.Client for other hosts",
		} {
			req, _ := http.NewRequest(http.MethodGet, url, nil)
			_, err := cache.Transport(nil).RoundTrip(req)
			checkSentence(t, err, want)
		}
		closeCache(t, cache)
		_, err := cache.User("789").Token()
		checkSentence(t, err, "lookerauth: the cache is closed: close it only when nothing uses it any more")
	})
}

func TestUnreachableLookerIsExplained(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cfg := looker.Config()
		cfg.Transport = roundTripper(func(*http.Request) (*http.Response, error) { return nil, errRefused })
		got := errorText(ask(t, cfg, "789"))
		for _, part := range []string{"lookerauth: login: no answer: ", "check that the base URL is right and reachable", "connection refused"} {
			if !strings.Contains(got, part) {
				t.Errorf("%q is not in: %s", part, got)
			}
		}
	})
}

func TestLoginErrorReadsAsASentence(t *testing.T) {
	for want, err := range map[string]*lookerauth.LoginError{
		`lookerauth: login_user 789: looker answered 404 ("Not found"): ` + lookerauth.ErrUserNotFound.Error(): {
			Op: "login_user", UserID: "789", StatusCode: 404, Message: "Not found", Err: lookerauth.ErrUserNotFound,
		},
		`lookerauth: login_user "a\nb": looker answered 429, retry after 1m0s: ` + lookerauth.ErrRateLimited.Error(): {
			Op: "login_user", UserID: "a\nb", StatusCode: 429, RetryAfter: time.Minute, Err: lookerauth.ErrRateLimited,
		},
		`lookerauth: login: looker answered 400 (invalid)`: {Op: "login", StatusCode: 400, Message: "invalid"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestLongMessageIsCutBetweenCharacters(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		message := "x" + strings.Repeat("ü", 200)
		looker.Fail(lookertest.Login, 1, lookertest.Fault{Status: 400, Body: `{"message":"` + message + `"}`})
		_, err := newCache(t, looker).ServiceAccount().Token()
		var failed *lookerauth.LoginError
		if !errors.As(err, &failed) || failed.Message != message[:199]+"…" {
			t.Errorf("got %v", err)
		}
	})
}
