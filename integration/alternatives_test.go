package integration

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/looker-open-source/sdk-codegen/go/rtl"
	v4 "github.com/looker-open-source/sdk-codegen/go/sdk/v4"
	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth/lookertest"
)

// These tests are rows of the README's table "Beside the alternatives". Each plays one scene twice
// with the official SDK: as it authenticates by itself, which is with x/oauth2, and on a Transport
// of lookerauth. Both act as the service account.

// stage is where a scene is played.
type stage struct {
	*testing.T
	fake      *lookertest.Server
	looker    *v4.LookerSDK
	elsewhere *elsewhere
}

// play fails the test if the scene does not come out as the table says.
func play[Outcome comparable](
	t *testing.T, scene func(*stage) Outcome, withSDKAlone, withLookerauth Outcome,
) {
	t.Helper()
	for name, test := range map[string]struct {
		sdk  func(*testing.T, *lookertest.Server, http.RoundTripper) *v4.LookerSDK
		want Outcome
	}{
		"the SDK alone":   {sdkAlone, withSDKAlone},
		"with lookerauth": {sdkWithLookerauth, withLookerauth},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, fake *lookertest.Server) {
				elsewhere := &elsewhere{looker: fake.Transport()}
				outcome := scene(&stage{t, fake, test.sdk(t, fake, elsewhere), elsewhere})
				if outcome != test.want {
					t.Errorf("%+v, and not %+v as the README's table has it: "+
						"change the table if this is for good", outcome, test.want)
				}
			})
		})
	}
}

// sdkAlone returns the official SDK as it comes.
func sdkAlone(
	t *testing.T, fake *lookertest.Server, transport http.RoundTripper,
) *v4.LookerSDK {
	t.Helper()
	cfg := fake.Config()
	session := rtl.NewAuthSessionWithTransport(rtl.ApiSettings{
		BaseUrl:      cfg.BaseURL,
		ApiVersion:   "4.0",
		ClientId:     cfg.ClientID,
		ClientSecret: cfg.ClientSecret,
	}, transport)
	if _, ok := session.Client.Transport.(*oauth2.Transport); !ok {
		t.Errorf("the SDK authenticates with a %T, not with x/oauth2: change the README's table",
			session.Client.Transport)
	}
	return v4.NewLookerSDK(session)
}

// sdkWithLookerauth returns the official SDK on a Transport of lookerauth.
func sdkWithLookerauth(
	t *testing.T, fake *lookertest.Server, transport http.RoundTripper,
) *v4.LookerSDK {
	t.Helper()
	cfg := fake.Config()
	cfg.Transport = transport
	return sdkOf(fake, newCache(t, cfg).ServiceAccount())
}

// elsewhere is a network that reaches Looker and one host more, elsewhere.example.
type elsewhere struct {
	looker http.RoundTripper
	got    string // the last request to elsewhere.example, as it is on the wire
}

func (e *elsewhere) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != "elsewhere.example" {
		return e.looker.RoundTrip(req)
	}
	var wire strings.Builder
	if err := req.Write(&wire); err != nil {
		return nil, err
	}
	e.got = wire.String()
	body := io.NopCloser(strings.NewReader("{}"))
	return &http.Response{StatusCode: http.StatusOK, Body: body, Request: req}, nil
}

// ledElsewhere is a redirect to elsewhere.example, which keeps the method and the body.
var ledElsewhere = lookertest.Fault{
	Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"https://elsewhere.example/"}},
}

func TestAlternativeTakesTheTokenToAnotherHost(t *testing.T) {
	type outcome struct{ followed, withToken bool }
	play(t, func(on *stage) outcome {
		on.fake.FailNext(lookertest.OpAPI, ledElsewhere)
		if _, err := on.looker.Me("id", nil); err != nil {
			on.Error(err)
		}
		got := on.elsewhere.got
		return outcome{got != "", strings.Contains(got, "Authorization: ")}
	}, outcome{followed: true, withToken: true}, outcome{followed: true})
}

func TestAlternativeTakesTheSecretToWhereLoginRedirects(t *testing.T) {
	type outcome struct{ followed, withSecret bool }
	play(t, func(on *stage) outcome {
		on.fake.FailNext(lookertest.OpLogin, ledElsewhere)
		if _, err := on.looker.Me("id", nil); err == nil {
			on.Error("a redirected login is no error")
		}
		got := on.elsewhere.got
		return outcome{got != "", strings.Contains(got, on.fake.Config().ClientSecret)}
	}, outcome{followed: true, withSecret: true}, outcome{})
}

func TestAlternativeSendsARevokedTokenUntilItExpires(t *testing.T) {
	type outcome struct{ rejected, loginsAtOnce int }
	play(t, func(on *stage) (seen outcome) {
		checkMe(on.T, on.looker, lookertest.ServiceAccountID)
		on.fake.RevokeAll()
		for minute := range 60 { // for which a token lives
			_, err := on.looker.Me("id", nil)
			if err != nil && strings.Contains(err.Error(), "401") {
				seen.rejected++
			} else if err != nil {
				on.Error(err)
			}
			if minute == 0 {
				seen.loginsAtOnce = on.fake.Count(lookertest.OpLogin, "") - 1
			}
			time.Sleep(time.Minute)
		}
		checkMe(on.T, on.looker, lookertest.ServiceAccountID)
		return seen
	}, outcome{rejected: 60}, outcome{loginsAtOnce: 1})
}

func TestAlternativeLogsInForEveryCallerWhileLoginFails(t *testing.T) {
	play(t, func(on *stage) (logins int) {
		failing(on.fake, lookertest.OpLogin, unwell)
		var callers sync.WaitGroup
		for range 200 {
			callers.Go(func() {
				if _, err := on.looker.Me("id", nil); err == nil {
					on.Error("a failed login is no error")
				}
			})
		}
		callers.Wait()
		return on.fake.Count(lookertest.OpLogin, "")
	}, 200, 3)
}

// The SDK gives each call's context a timeout, in whole seconds.
func TestAlternativeHoldsACallerBeyondItsTimeout(t *testing.T) {
	play(t, func(on *stage) (waited time.Duration) {
		on.fake.FailNext(lookertest.OpLogin, lookertest.Fault{Delay: 7 * time.Second})
		before := time.Now()
		if _, err := on.looker.Me("id", &rtl.ApiSettings{Timeout: 1}); err == nil {
			on.Error("a call that took longer than its timeout is no error")
		}
		return time.Since(before)
	}, 7*time.Second, time.Second)
}

func TestAlternativeMakesCallersWaitAtEachExpiry(t *testing.T) {
	const login = 700 * time.Millisecond
	play(t, func(on *stage) (waits int) {
		failing(on.fake, lookertest.OpLogin, lookertest.Fault{Delay: login})
		for range 180 { // a call each minute for 3 hours, in which two tokens expire
			before := time.Now()
			checkMe(on.T, on.looker, lookertest.ServiceAccountID)
			if time.Since(before) >= login {
				waits++
			}
			time.Sleep(time.Minute)
		}
		return waits
	}, 3, 1) // with that for the first token
}
