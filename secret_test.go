package lookerauth_test

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// secretTexts are texts that users may see.
type secretTexts []string

// add keeps how a value is printed with these verbs, and encoded.
func (s *secretTexts) add(t *testing.T, value any, verbs ...string) {
	t.Helper()
	if value == nil {
		t.Error("no error")
		return
	}
	for _, verb := range verbs {
		*s = append(*s, fmt.Sprintf(verb, value))
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "value", value)
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "value", value)
	*s = append(*s, log.String(), string(must(json.Marshal(value))))
}

// check looks for the secrets.
func (s *secretTexts) check(t *testing.T, secrets ...string) {
	t.Helper()
	for _, text := range *s {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
}

// indiscreet is a base that tells all it knows.
type indiscreet struct {
	base   http.RoundTripper
	echo   string // what Looker quotes in its error; "" has it answer properly
	broken bool   // whether the base's own error quotes the request
}

func (b *indiscreet) RoundTrip(req *http.Request) (*http.Response, error) {
	if b.broken {
		body, _ := io.ReadAll(req.Body)
		return nil, fmt.Errorf("cannot send %s %s %v: %w",
			req.URL, body, req.Header, io.ErrUnexpectedEOF)
	}
	if b.echo == "" {
		return b.base.RoundTrip(req)
	}
	message := must(json.Marshal(map[string]string{"message": b.echo}))
	return respond(http.StatusBadRequest, nil, string(message)), nil
}

func TestNoErrorOrLogLineTellsASecret(t *testing.T) {
	const clientID, clientSecret = "id/with+signs", "s3cr&t/ key"
	key := []string{
		clientID, clientSecret,
		url.QueryEscape(clientID), url.QueryEscape(clientSecret), url.PathEscape(clientSecret),
	}
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetKey(clientID, clientSecret)
		base := &indiscreet{base: looker.Transport()}
		var log bytes.Buffer
		handler := slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
		cache := newCache(t, looker, withTransport(base), withLog(handler))
		service, user := cache.ServiceAccount(), cache.User("789")
		accessToken(t, user)
		secrets := append(key, accessToken(t, service), accessToken(t, user))

		var texts secretTexts
		for _, value := range []any{cache, user, *user.Transport(nil), cache.Transport(nil)} {
			texts.add(t, value, "%v", "%+v", "%#v", "%x")
		}
		addError := func(err error) { texts.add(t, err, "%v", "%+v", "%#v", "%q") }
		fail := func() {
			time.Sleep(time.Hour)
			for _, source := range []*lookerauth.TokenSource{user, service} {
				_, err := source.Token()
				addError(err)
			}
		}
		base.echo = accessToken(t, service) + " is no admin's"
		_, err := cache.User("790").Token()
		addError(err)
		checkErrorSays(t, err, "[secret] is no admin's")
		base.echo = strings.Repeat("x", 195) + " " + strings.Join(key, " ") // which is cut
		fail()
		base.echo = strings.Join(key, " ")
		fail()
		base.broken = true
		fail()
		base.broken, base.echo = false, ""
		time.Sleep(time.Minute) // the hold-down
		accessToken(t, user)
		secrets = append(secrets, accessToken(t, service), accessToken(t, user))
		base.broken = true
		err = user.Logout(t.Context())
		checkError(t, err, io.ErrUnexpectedEOF)
		addError(err)
		addError(cache.Close(t.Context()))

		texts = append(texts, log.String())
		texts.check(t, secrets...)
		if !strings.Contains(log.String(), "login failed") {
			t.Error("nothing was logged")
		}
	})
}

func TestConfigShowsNoSecret(t *testing.T) {
	cfg := testConfig()
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	withPassword := cfg
	withPassword.BaseURL = "https://me:" + testSecret + "@looker.example"
	nested := struct{ Config *lookerauth.Config }{&cfg}
	var texts secretTexts
	for _, value := range []any{
		cfg, &cfg, nested, []lookerauth.Config{cfg}, withPassword,
		cache, cache.ServiceAccount(), cache.User("789"), cache.Transport(nil),
	} {
		texts.add(t, value, "%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d")
	}
	texts.check(t, testID, testSecret, fmt.Sprintf("%x", testSecret), fmt.Sprintf("%X", testSecret))

	// What is no secret is there.
	if text := fmt.Sprint(cfg); !strings.Contains(text, `BaseURL: "https://looker.example"`) {
		t.Errorf("useless: %s", text)
	}
	if text := fmt.Sprint(lookerauth.Config{}); !strings.Contains(text, "ClientSecret: [none]") {
		t.Errorf("useless: %s", text)
	}
}

func TestConfigShowsNoStoreKey(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	var texts secretTexts
	cfg := lookerauth.Config{StoreKeys: [][]byte{[]byte(key)}}
	texts.add(t, cfg, "%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d")
	texts.check(t, key[:16], fmt.Sprintf("%x", key), fmt.Sprintf("%X", key), "[48 49")
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
