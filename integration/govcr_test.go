package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/dnaeon/go-vcr.v4/pkg/recorder"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// newTape returns a recorder above the Transport of user 789. What it records will be in the file
// of this name, with the extension .yaml.
func newTape(t *testing.T, cache *lookerauth.Cache, name string) *recorder.Recorder {
	t.Helper()
	looker := cache.User("789").Transport(nil)
	tape, err := recorder.New(name, recorder.WithRealTransport(looker))
	if err != nil {
		t.Fatal(err)
	}
	return tape
}

// stop ends the recording, and returns what is on the tape.
func stop(t *testing.T, tape *recorder.Recorder, name string) string {
	t.Helper()
	if err := tape.Stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// secretsOf returns the key and the tokens that the Cache has now.
func secretsOf(t *testing.T, cfg lookerauth.Config, cache *lookerauth.Cache) map[string]string {
	t.Helper()
	secrets := map[string]string{"the API key": cfg.ClientSecret}
	for name, source := range map[string]*lookerauth.TokenSource{
		"the service account's token": cache.ServiceAccount(),
		"the user's token":            cache.User("789"),
	} {
		token, err := source.TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		secrets[name] = token.AccessToken
	}
	return secrets
}

func TestTapeAboveTheTransportHoldsNoSecret(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	name := filepath.Join(t.TempDir(), "looks")
	tape := newTape(t, cache, name)

	getAs(t, tape.GetDefaultClient(), fake.URL, "789", "789")

	text := stop(t, tape, name)
	if !strings.Contains(text, "/looks/1") {
		t.Errorf("the request is not on the tape:\n%s", text)
	}
	for what, secret := range secretsOf(t, fake.Config(), cache) {
		if strings.Contains(text, secret) {
			t.Errorf("on the tape is %s", what)
		}
	}
}

func TestTapeAboveTheTransportIsPlayedWithoutALogin(t *testing.T) {
	fake := startFake(t, nil)
	name := filepath.Join(t.TempDir(), "looks")
	for range 2 { // it is recorded, and played
		cache := newCache(t, fake.Config())
		tape := newTape(t, cache, name)
		getAs(t, tape.GetDefaultClient(), fake.URL, "789", "789")
		stop(t, tape, name)
	}
	checkLogins(t, fake, 1)
	if n := fake.Count(lookertest.OpAPI, ""); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// The requests on the tape do not show whose they are.
func TestTapeAboveTheTransportOfManyMixesUsersUp(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	name := filepath.Join(t.TempDir(), "looks")
	for _, userID := range []string{"789", "790"} {
		tape, err := recorder.New(name, recorder.WithRealTransport(cache.Transport(nil)))
		if err != nil {
			t.Fatal(err)
		}
		getAs(t, tape.GetDefaultClient(), fake.URL, userID, "789") // the wrong user's
		stop(t, tape, name)
	}
}

func TestTapeBelowTheTransportHoldsTheKeyAndTokens(t *testing.T) {
	fake := startFake(t, nil)
	name := filepath.Join(t.TempDir(), "looks")
	tape, err := recorder.New(name, recorder.WithRealTransport(fake.Transport()))
	if err != nil {
		t.Fatal(err)
	}
	cfg := fake.Config()
	cfg.Transport = tape
	cache := newCache(t, cfg)

	getAs(t, &http.Client{Transport: cache.Transport(nil)}, fake.URL, "789", "789")

	secrets := secretsOf(t, cfg, cache)
	text := stop(t, tape, name)
	for what, secret := range secrets {
		if !strings.Contains(text, secret) {
			t.Errorf("not on the tape is %s", what)
		}
	}
}
