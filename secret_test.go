package lookerauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
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

func TestNoErrorOrLogLineTellsASecret(t *testing.T) {
	const clientID, clientSecret = "id/with+signs", "s3cr&t/ key"
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetKey(clientID, clientSecret)
		var log bytes.Buffer
		var echo string // what Looker quotes in its error
		var brokenTransport bool
		var token string
		cache := newCache(t, looker, func(cfg *lookerauth.Config) {
			cfg.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			base := recordToken(cfg.Transport, &token)
			cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
				if brokenTransport {
					body, _ := io.ReadAll(req.Body)
					return nil, fmt.Errorf("cannot send %s %s %v: %w", req.URL, body, req.Header, io.ErrUnexpectedEOF)
				}
				if echo == "" {
					return base.RoundTrip(req)
				}
				message, _ := json.Marshal(map[string]string{"message": echo})
				return respond(http.StatusBadRequest, nil, string(message)), nil
			})
		})
		service, user := cache.ServiceAccount(), cache.User("789")
		accessToken(t, user)
		key := []string{clientID, clientSecret, url.QueryEscape(clientID), url.QueryEscape(clientSecret), url.PathEscape(clientSecret)}
		secrets := append(key, accessToken(t, service), accessToken(t, user))

		var texts []string
		check := func(err error) {
			if err == nil {
				t.Error("no error")
				return
			}
			texts = append(texts, fmt.Sprintf("%v %+v %#v %q", err, err, err, err), string(must(json.Marshal(err))))
		}
		fail := func() {
			time.Sleep(time.Hour)
			for _, source := range []*lookerauth.TokenSource{user, service} {
				_, err := source.Token()
				check(err)
			}
		}
		for _, value := range []any{cache, user, *user.Transport(nil), cache.Transport(nil)} {
			texts = append(texts, fmt.Sprintf("%v %+v %#v %x", value, value, value, value), string(must(json.Marshal(value))))
		}
		echo = accessToken(t, service) + " is no admin's"
		_, err := cache.User("790").Token()
		check(err)
		if !strings.Contains(err.Error(), "[secret] is no admin's") {
			t.Errorf("Looker's message is missing: %v", err)
		}
		echo = strings.Repeat("x", 195) + " " + strings.Join(key, " ")
		fail()
		echo = strings.Join(key, " ")
		fail()
		brokenTransport = true
		fail()
		brokenTransport, echo = false, ""
		time.Sleep(time.Minute) // the hold-down
		accessToken(t, user)
		secrets = append(secrets, accessToken(t, service), accessToken(t, user))
		brokenTransport = true
		if err := user.Logout(t.Context()); err == nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want the transport's error", err)
		} else {
			check(err)
		}
		check(cache.Close(t.Context()))

		for _, text := range append(texts, log.String()) {
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("%q is in %s", secret, text)
				}
			}
		}
		if !strings.Contains(log.String(), "login failed") {
			t.Error("nothing was logged")
		}
	})
}

func TestConfigShowsNoSecret(t *testing.T) {
	cfg := lookerauth.Config{BaseURL: "https://looker.example", ClientID: testID, ClientSecret: testSecret}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	withPassword := cfg
	withPassword.BaseURL = "https://me:" + testSecret + "@looker.example"
	nested := struct{ Config *lookerauth.Config }{&cfg}
	var texts bytes.Buffer
	for _, value := range []any{cfg, &cfg, nested, []lookerauth.Config{cfg}, withPassword, cache, cache.ServiceAccount(), cache.User("789"), cache.Transport(nil)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&texts, verb+"\n", value)
		}
		if text, err := json.Marshal(value); err == nil {
			texts.Write(text)
		}
		slog.New(slog.NewJSONHandler(&texts, nil)).Info("json", "value", value)
		slog.New(slog.NewTextHandler(&texts, nil)).Info("text", "value", value)
	}
	for _, secret := range []string{testID, testSecret, fmt.Sprintf("%x", testSecret), fmt.Sprintf("%X", testSecret)} {
		if strings.Contains(texts.String(), secret) {
			t.Errorf("%q is in %s", secret, texts.String())
		}
	}
	if !strings.Contains(fmt.Sprint(cfg), `BaseURL: "https://looker.example"`) || !strings.Contains(fmt.Sprint(lookerauth.Config{}), "ClientSecret: [none]") {
		t.Errorf("useless: %v and %v", cfg, lookerauth.Config{})
	}
}

func TestConfigShowsNoStoreKey(t *testing.T) {
	cfg := lookerauth.Config{StoreKeys: [][]byte{[]byte("0123456789abcdef0123456789abcdef")}}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %x %s", cfg, cfg, cfg, cfg, cfg), string(must(json.Marshal(cfg)))} {
		if strings.Contains(text, "0123456789abcdef") || strings.Contains(text, fmt.Sprintf("%x", cfg.StoreKeys[0])) || strings.Contains(text, "[48 49") {
			t.Errorf("a key is in %s", text)
		}
	}
}

func TestResponseTellsNoToken(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		token := accessToken(t, user)
		resp, err := user.Client().Get(looker.URL + "/api/4.0/looks")
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
