package integration

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/looker-open-source/sdk-codegen/go/rtl"
	v4 "github.com/looker-open-source/sdk-codegen/go/sdk/v4"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// settingsOf returns the settings with which the SDK logs in by itself.
func settingsOf(fake *lookertest.Server) rtl.ApiSettings {
	cfg := fake.Config()
	return rtl.ApiSettings{
		BaseUrl: fake.URL, ApiVersion: "4.0",
		ClientId: cfg.ClientID, ClientSecret: cfg.ClientSecret,
	}
}

func TestConfigFromTheSDKsFileOfSettings(t *testing.T) {
	fake := startFake(t, nil)
	t.Chdir(t.TempDir())
	s := settingsOf(fake)
	ini := fmt.Sprintf("[Looker]\nbase_url = %s\nclient_id = %s\nclient_secret = %s\n",
		s.BaseUrl, s.ClientId, s.ClientSecret)
	if err := os.WriteFile("looker.ini", []byte(ini), 0o600); err != nil {
		t.Fatal(err)
	}

	settings, err := rtl.NewSettingsFromFile("looker.ini", nil) // its section [Looker]
	cfg := lookerauth.Config{
		BaseURL:      settings.BaseUrl,
		ClientID:     settings.ClientId,
		ClientSecret: settings.ClientSecret,
	}

	if err != nil {
		t.Fatal(err)
	}
	cache := newCache(t, cfg)
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	session := rtl.NewAuthSession(settings)
	session.Client.Transport = cache.User("789").Transport(nil)
	checkMe(t, v4.NewLookerSDK(session), "789")
	if n := fake.Count(lookertest.OpLogin, ""); n != 1 {
		t.Errorf("%d logins of the service account, want 1", n)
	}
}

// The session logs the service account in for itself, whatever the transport does. The requests are
// the user's all the same.
func TestSessionWithTransportLogsAnAdministratorInForEachSession(t *testing.T) {
	const sessions = 5
	for name, test := range map[string]struct {
		newSession    func(rtl.ApiSettings, http.RoundTripper) *rtl.AuthSession
		logins, alive int
	}{
		"NewAuthSessionWithTransport": {rtl.NewAuthSessionWithTransport, 1 + sessions, sessions},
		"NewAuthSession": {func(s rtl.ApiSettings, user http.RoundTripper) *rtl.AuthSession {
			session := rtl.NewAuthSession(s)
			session.Client.Transport = user
			return session
		}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			fake := startFake(t, nil)
			cache := newCache(t, fake.Config())
			for range sessions {
				session := test.newSession(settingsOf(fake), cache.User("789").Transport(nil))
				checkMe(t, v4.NewLookerSDK(session), "789")
			}
			if n := fake.Count(lookertest.OpLogin, ""); n != test.logins {
				t.Errorf("%d logins of the service account, want %d", n, test.logins)
			}
			if err := cache.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := fake.Alive()[lookertest.ServiceAccountID]; n != test.alive {
				t.Errorf("%d of its tokens are alive after Close, want %d", n, test.alive)
			}
		})
	}
}

// startStranger starts a Looker with https whose certificate nobody knows, and returns what trusts
// it.
func startStranger(t *testing.T) (fake *lookertest.Server, authorities *x509.CertPool) {
	t.Helper()
	fake = lookertest.New(t, lookertest.WithTLS())
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(fake.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	authorities = x509.NewCertPool()
	authorities.AddCert(conn.(*tls.Conn).ConnectionState().PeerCertificates[0])
	return fake, authorities
}

// It is the zero value, too.
func TestVerifySslFalseOfTheSDKAloneTellsAStrangerTheKey(t *testing.T) {
	fake, _ := startStranger(t)
	settings := settingsOf(fake)
	settings.VerifySsl = false

	checkMe(t, v4.NewLookerSDK(rtl.NewAuthSession(settings)), lookertest.ServiceAccountID)
}

func TestVerifySslFalseChangesNothingOnATransport(t *testing.T) {
	fake, _ := startStranger(t)
	cfg := fake.Config()
	cfg.Transport = nil
	cache := newCache(t, cfg)
	settings := settingsOf(fake)
	settings.VerifySsl = false
	session := rtl.NewAuthSession(settings)
	session.Client.Transport = cache.User("789").Transport(nil)

	_, err := v4.NewLookerSDK(session).Me("id", nil)

	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("the error is %v", err)
	}
	if calls := fake.Requests(); len(calls) != 0 {
		t.Errorf("the stranger got %+v", calls)
	}
}

func TestTransportOfTheConfigTrustsAnAuthorityOfYours(t *testing.T) {
	fake, authorities := startStranger(t)
	cfg := fake.Config()

	base := http.DefaultTransport.(*http.Transport).Clone()
	base.TLSClientConfig = &tls.Config{RootCAs: authorities}
	cfg.Transport = base // logins, too

	defer base.CloseIdleConnections()
	cache := newCache(t, cfg)
	checkMe(t, sdkOf(fake, cache.User("789")), "789")
}
