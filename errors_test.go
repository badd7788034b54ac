package lookerauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// What a newcomer does wrong, and the whole sentence that says what is wrong and what to do.
func TestMistakesAreExplained(t *testing.T) {
	nothing := func(*lookerauth.Config) {}
	const checkTheBaseURL = "the answer did not come from a Looker API: check the base URL " +
		"(the API of a self-hosted Looker has a port of its own, usually 19999)"
	const useTheID = "no such user: User takes the id that Looker gave the user; " +
		"for another one, such as an external id, use UserByCredential with its type"
	const badID = "invalid identity: an id that Looker gave has 1 to 255 bytes, all of them " +
		"ASCII letters, digits, -, _, ., :, @ or spaces, no space at an end, " +
		`and is not "." or ".."`
	for _, test := range []struct {
		mistake string
		make    option
		userID  string
		want    string
	}{
		{"no scheme", withBaseURL("demo.looker.com:19999"), "789",
			"BaseURL is not an address: write it as https://host, with a port if there is one"},
		{"the API's path at its end", withBaseURL("https://demo.looker.com:19999/api/4.0"), "789",
			"BaseURL ends in /api/4.0: leave that out, and set APIVersion instead"},
		{"http to a real host", withBaseURL("http://demo.looker.com:19999"), "789",
			"BaseURL is http://, which would send the API key in the clear: " +
				"use https://, or set AllowHTTP"},
		{"a slash at the base URL's end", addSlash, "789", ""},
		{"no key", withKey(testID, ""), "789",
			"ClientSecret is missing: " +
				"create an API key in Looker under Admin, Users, Edit, API keys"},
		{"a line break at the key's end", withKey(testID, testSecret+"\n"), "789",
			"ClientSecret starts or ends with white space: trim it"},

		{"id and secret swapped", swapKey, "789",
			`login: looker answered 404 ("Not found"): the API key was refused: ` +
				"check the client id and the client secret, that they are not swapped, " +
				"that the key was not rotated, and that its user is not disabled"},
		{"the web port", withTransport(webPort(404)), "789",
			"login: looker answered 404: " + checkTheBaseURL},
		{"a proxy's page", withTransport(webPort(200)), "789",
			"login: looker answered 200: its body is not an access token in JSON: " +
				checkTheBaseURL},
		{"a proxy that redirects to a page", withTransport(webPort(302)), "789",
			"login: looker answered 302: a redirect, which the API key must not follow: " +
				checkTheBaseURL},
		{"an email address instead of an id", nothing, "me@looker.example",
			`login_user me@looker.example: looker answered 404 ("Not found"): ` + useTheID},
		{"a user id with a space at its end", nothing, "789 ",
			`user "789 ": ` + badID},
		{"no user id", nothing, "", `user "": ` + badID},
	} {
		t.Run(test.mistake, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				setUsers(looker, "789")
				checkSentence(t, tokenError(t, looker, test.make, test.userID), test.want)
			})
		})
	}
	t.Run("a key without the Admin role", func(t *testing.T) {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			looker.SetAdmin(false)
			checkSentence(t, tokenError(t, looker, nothing, "789"),
				"login_user 789: looker answered 403 (Forbidden): the service account may not act "+
					"as this user: give it the Admin role (Looker (Google Cloud core) also wants "+
					"an API-only service account, and an Embed user to act as)")
		})
	})
}

func addSlash(cfg *lookerauth.Config) { cfg.BaseURL += "/" }

func swapKey(cfg *lookerauth.Config) {
	cfg.ClientID, cfg.ClientSecret = cfg.ClientSecret, cfg.ClientID
}

// tokenError makes a Cache, asks it for a user's token, and returns the error of either.
func tokenError(
	t *testing.T, looker *lookertest.Server, change option, userID string,
) error {
	t.Helper()
	cfg := looker.Config()
	change(&cfg)
	cache, err := lookerauth.New(cfg)
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = cache.Close(t.Context()) })
	_, err = cache.User(userID).Token()
	return err
}

// checkSentence compares the whole text of an error behind the package's name; "" stands for none.
func checkSentence(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if want != "" {
		want = "lookerauth: " + want
	}
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMistakesOfRequestsAreExplained(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		for url, want := range map[string]string{
			looker.URL: "no identity: name a user or the service account, " +
				"in a request's context with WithUser or WithServiceAccount",
			"https://looker.example/": "the request leads away from the base URL, " +
				"and was not sent: use another http.Client for other hosts",
		} {
			req, _ := http.NewRequest(http.MethodGet, url, nil)
			_, err := cache.Transport(nil).RoundTrip(req)
			checkSentence(t, err, want)
		}
		closeCache(t, cache)
		_, err := cache.User("789").Token()
		checkSentence(t, err, "the cache is closed: close it only when nothing uses it any more")
	})
}

func TestUnreachableLookerIsExplained(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		base := roundTripper(func(*http.Request) (*http.Response, error) { return nil, errRefused })
		checkErrorSays(t, tokenError(t, looker, withTransport(base), "789"),
			"lookerauth: login: no answer: ",
			"check that the base URL is right and reachable",
			"connection refused")
	})
}

// Trying again at once would not help: somebody has to change something.
func TestWhatIsUnreachableForGoodIsExplainedAndTriedOnce(t *testing.T) {
	invalid := x509.CertificateInvalidError{Reason: x509.Expired}
	other := x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"no such host": {
			&net.OpError{Op: "dial", Err: &net.DNSError{
				Err: "no such host", Name: "looker.example", IsNotFound: true,
			}},
			"there is no such host: check the base URL: ",
		},
		"out of date": {&tls.CertificateVerificationError{Err: invalid},
			"the server's certificate is out of date, or not valid yet: "},
		"another host's": {&tls.CertificateVerificationError{
			Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "looker.example"}},
			"the server's certificate is another host's: check the base URL"},
		"not trusted": {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
			"the server's certificate is not trusted: "},
		"not trusted, by a base of the user's": {x509.UnknownAuthorityError{},
			"the server's certificate is not trusted: "},
		"no certificate for a server": {&tls.CertificateVerificationError{Err: other},
			"the server's certificate is not trusted: "},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				tries := 0
				base := roundTripper(func(*http.Request) (*http.Response, error) {
					tries++
					return nil, test.err
				})
				cache := newCache(t, looker, withTransport(base))
				_, err := cache.User("789").Token()
				checkErrorSays(t, err, "lookerauth: login: no answer: "+test.want, test.err.Error())
				if tries != 1 {
					t.Errorf("tried %d times, want once", tries)
				}
				if got := cache.Stats().ServiceAccount.Failed; got != unavailable {
					t.Errorf("counted as %+v", got)
				}
				time.Sleep(time.Second) // it may be mended: nobody is held down for long
				_, _ = cache.User("789").Token()
				if tries != 2 {
					t.Errorf("tried %d times, want once more a second later", tries)
				}
			})
		})
	}
}

func TestHostThatIsNotFoundNowMayBeFoundInAMoment(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		tries := 0
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			tries++
			return nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
		})
		callError(t, tokenError(t, looker, withTransport(base), "789"))
		if tries != 3 {
			t.Errorf("tried %d times, want three", tries)
		}
	})
}

func TestCallErrorReadsAsASentence(t *testing.T) {
	notFound, rateLimited := lookerauth.ErrUserNotFound, lookerauth.ErrRateLimited
	for want, err := range map[string]*lookerauth.CallError{
		`login_user 789: looker answered 404 ("Not found"): ` + notFound.Error(): {
			Op: "login_user", Identity: lookerauth.User("789"),
			StatusCode: 404, Message: "Not found", Err: notFound,
		},
		`login_user "a\nb": looker answered 429, retry after 1m0s: ` + rateLimited.Error(): {
			Op: "login_user", Identity: lookerauth.User("a\nb"),
			StatusCode: 429, RetryAfter: time.Minute, Err: rateLimited,
		},
		`login: looker answered 400 (invalid)`: {
			Op: "login", StatusCode: 400, Message: "invalid",
		},
	} {
		checkSentence(t, err, want)
	}
}

func TestLongMessageIsCutBetweenCharacters(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		message := "x" + strings.Repeat("ü", 200)
		refused := lookertest.Fault{Status: 400, Body: `{"message":"` + message + `"}`}
		looker.FailNext(lookertest.OpLogin, refused)
		_, err := newCache(t, looker).ServiceAccount().Token()
		if got := callError(t, err).Message; got != message[:199]+"…" {
			t.Errorf("got %q", got)
		}
	})
}

// late is the error of a base that has a time-out of its own.
type late struct{ error }

func (late) Timeout() bool   { return true }
func (late) Temporary() bool { return true }

func TestTimeoutIsOneForNetErrorAndForContext(t *testing.T) {
	hang := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	failing := func(text string) roundTripper {
		return func(*http.Request) (*http.Response, error) { return nil, late{errors.New(text)} }
	}
	for name, base := range map[string]roundTripper{
		"LoginTimeout":                        hang,
		"the base's":                          failing("slow"),
		"the base's, which quotes the secret": failing("slow: " + testSecret),
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				for _, who := range []lookerauth.Identity{
					lookerauth.ServiceAccount(), lookerauth.User("789"),
				} {
					key := withKey(testID, testSecret)
					source := newCache(t, looker, key, withTransport(base)).As(who)
					_, err := source.Client().Get(looker.URL + looks)
					var netError net.Error
					if !errors.As(err, &netError) || !netError.Timeout() {
						t.Errorf("%v: net.Error sees no time-out in %v", who, err)
					}
					checkError(t, err, context.DeadlineExceeded)
					failsWith(t, source, context.DeadlineExceeded) // held down
				}
			})
		})
	}
}

func TestRefusalIsNoTimeout(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetKey("another", "key")
		_, err := newCache(t, looker, withKey(testID, testSecret)).User("789").Token()
		if callError(t, err).Timeout() || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is a time-out", err)
		}
	})
}

func TestLoginThatFailsUnderARemovedVersionSaysSo(t *testing.T) {
	const hint = "gone since Looker 23.18: leave APIVersion empty"
	for _, test := range []struct {
		version string
		op      lookertest.Op
		status  int
		want    bool
	}{
		{"3.0", lookertest.OpLogin, 404, true},
		{"3.1", lookertest.OpLogin, 401, true},
		{"3.1", lookertest.OpLoginUser, 404, true},
		{"3.1", lookertest.OpLoginUser, 400, true},
		{"3.1", lookertest.OpLogin, 503, false},
		{"3.1", lookertest.OpLogin, 429, false},
		{"4.0", lookertest.OpLogin, 404, false},
		{"", lookertest.OpLogin, 404, false},
	} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			failing(looker, test.op, answered(test.status))
			_, err := newCache(t, looker, withAPIVersion(test.version)).User("789").Token()
			if got := strings.Contains(err.Error(), hint); got != test.want {
				t.Errorf("%+v: %v", test, err)
			}
			meaning := lookerauth.ErrBadAPIKey
			if test.op == lookertest.OpLoginUser {
				meaning = lookerauth.ErrUserNotFound
			}
			if test.status == http.StatusNotFound {
				checkError(t, err, meaning)
			}
		})
	}
}

func TestCertificateThatNobodyTrustsIsExplained(t *testing.T) {
	looker := lookertest.New(t, lookertest.WithTLS())
	trustless := &http.Transport{}
	defer trustless.CloseIdleConnections()
	err := tokenError(t, looker, withTransport(trustless), "789")
	checkErrorSays(t, err, "lookerauth: login: no answer: the server's certificate is not trusted",
		"x509: certificate signed by unknown authority")
}
