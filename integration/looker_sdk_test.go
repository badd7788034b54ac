package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/looker-open-source/sdk-codegen/go/rtl"
	v4 "github.com/looker-open-source/sdk-codegen/go/sdk/v4"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// sdkOf returns the official SDK with a session of one identity.
func sdkOf(fake *lookertest.Server, source *lookerauth.TokenSource) *v4.LookerSDK {
	session := rtl.NewAuthSession(rtl.ApiSettings{BaseUrl: fake.URL})
	session.Client.Transport = source.Transport(nil)
	return v4.NewLookerSDK(session)
}

// checkMe fails the test if the SDK does not act as this user. It may be called by several
// goroutines at once.
func checkMe(t *testing.T, looker *v4.LookerSDK, want string) {
	t.Helper()
	me, err := looker.Me("id", nil)
	if err != nil {
		t.Error(err)
		return
	}
	if me.Id == nil || *me.Id != want {
		t.Errorf("Looker answered %+v, want user %s", me, want)
	}
}

func TestSDKActsAsAUser(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	settings := rtl.ApiSettings{BaseUrl: fake.URL}

	session := rtl.NewAuthSession(settings)
	session.Client.Transport = cache.User("789").Transport(nil)
	looker := v4.NewLookerSDK(session)
	me, err := looker.Me("id,display_name", nil) // user 789

	if err != nil {
		t.Fatal(err)
	}
	if *me.Id != "789" || *me.DisplayName != "User 789" {
		t.Errorf("Looker answered %s, %q", *me.Id, *me.DisplayName)
	}
}

func TestSDKActsAsTheServiceAccount(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())

	checkMe(t, sdkOf(fake, cache.ServiceAccount()), lookertest.ServiceAccountID)
	checkLogins(t, fake, 0)
}

func TestSDKCallsOfTenUsersAtOnceLogInOncePerUser(t *testing.T) {
	const users, callsEach = 10, 20
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		// All calls are made before a login ends.
		failing(fake, lookertest.OpLoginUser, lookertest.Fault{Delay: time.Second})
		cache := newCache(t, fake.Config())

		var calls sync.WaitGroup
		for n := range users {
			userID := fmt.Sprint(101 + n)
			looker := sdkOf(fake, cache.User(userID))
			for range callsEach {
				calls.Go(func() { checkMe(t, looker, userID) })
			}
		}
		calls.Wait()

		for n := range users {
			userID := fmt.Sprint(101 + n)
			if logins := fake.Count(lookertest.OpLoginUser, userID); logins != 1 {
				t.Errorf("%d logins as %s, want 1", logins, userID)
			}
			if answered := fake.Count(lookertest.OpAPI, userID); answered != callsEach {
				t.Errorf("%d calls as %s, want %d", answered, userID, callsEach)
			}
		}
		if logins := fake.Count(lookertest.OpLogin, ""); logins != 1 {
			t.Errorf("%d logins of the service account, want 1", logins)
		}
	})
}

func TestSDKSessionOutlivesItsToken(t *testing.T) {
	now := clock.NewMock()
	fake := startFake(t, now)
	cache := newCache(t, fake.Config())
	looker := sdkOf(fake, cache.User("789"))

	for range 3 {
		checkMe(t, looker, "789")
		now.Add(2 * time.Hour) // a token lives for one
	}

	checkLogins(t, fake, 3)
	checkReplays(t, cache, 0) // no call was made with a dead token
}

func TestSDKSessionOutlivesARevokedToken(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	looker := sdkOf(fake, cache.User("789"))
	checkMe(t, looker, "789")

	fake.RevokeAll() // the service account's, too

	checkMe(t, looker, "789")
	checkLogins(t, fake, 3) // one of them was refused, with the service account's revoked token
	checkReplays(t, cache, 1)
}

func TestSDKCallWithABodyIsSentAgainAfterARevocation(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	looker := sdkOf(fake, cache.User("789"))
	checkMe(t, looker, "789")

	fake.Revoke("789")
	dev := "dev"
	session, err := looker.UpdateSession(v4.WriteApiSession{WorkspaceId: &dev}, nil)

	if err != nil {
		t.Fatal(err)
	}
	if *session.WorkspaceId != "dev" {
		t.Errorf("the session is in workspace %s", *session.WorkspaceId)
	}
	checkReplays(t, cache, 1)
}

func TestSDKSessionLogsOutThroughTheCache(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	looker := sdkOf(fake, cache.User("789"))
	checkMe(t, looker, "789")
	ctx := t.Context()

	err := cache.User("789").Logout(ctx) // the token is dead; the next call would log in again

	if err != nil {
		t.Fatal(err)
	}
	if alive := fake.Alive()["789"]; alive != 0 {
		t.Errorf("%d tokens of the user are alive after Logout", alive)
	}
	checkMe(t, looker, "789")
	checkLogins(t, fake, 2)
}

func TestSDKTokenIsDeadAfterLogout(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	token, err := cache.User("789").TokenContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := cache.User("789").Logout(t.Context()); err != nil {
		t.Fatal(err)
	}

	stolen := rtl.NewAuthSession(rtl.ApiSettings{BaseUrl: fake.URL})
	stolen.Client.Transport = fake.Transport()
	_, err = v4.NewLookerSDK(stolen).Me("id", &rtl.ApiSettings{Headers: map[string]string{
		"Authorization": token.Type() + " " + token.AccessToken,
	}})

	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("the token of before Logout gets: %v", err)
	}
}

// The Transport sees the SDK's own Logout go by, so that the next call logs in at once.
func TestSDKSessionOutlivesTheSDKsOwnLogout(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	looker := sdkOf(fake, cache.User("789"))
	checkMe(t, looker, "789")

	if _, err := looker.Logout(nil); err != nil {
		t.Fatal(err)
	}

	checkMe(t, looker, "789")
	checkReplays(t, cache, 0)
	checkLogins(t, fake, 2)
}

// The transport that a session comes with acts as the service account.
func TestSDKSessionsTransportIsNoBase(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	cfg := fake.Config()
	session := rtl.NewAuthSession(rtl.ApiSettings{
		BaseUrl:      fake.URL,
		ApiVersion:   "4.0",
		ClientId:     cfg.ClientID,
		ClientSecret: cfg.ClientSecret,
	})
	checkMe(t, v4.NewLookerSDK(session), lookertest.ServiceAccountID)

	client := &http.Client{Transport: cache.User("789").Transport(session.Client.Transport)}
	checkRefusedBase(t, client, fake)

	session.Client.Transport = client.Transport
	before := fake.Count(lookertest.OpAPI, "")
	if me, err := v4.NewLookerSDK(session).Me("id", nil); err == nil {
		t.Errorf("the SDK acts as %s", *me.Id)
	}
	if sent := fake.Count(lookertest.OpAPI, "") - before; sent != 0 {
		t.Errorf("%d requests were sent", sent)
	}
}

// The SDK makes its calls with context.Background, so that no identity can come with the context.
// Each user needs a session.
func TestSDKSessionOnATransportOfManyIsRefused(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	session := rtl.NewAuthSession(rtl.ApiSettings{BaseUrl: fake.URL})
	session.Client.Transport = cache.Transport(nil)

	_, err := v4.NewLookerSDK(session).Me("id", nil)

	if !errors.Is(err, lookerauth.ErrNoIdentity) {
		t.Errorf("the error is %v", err)
	}
}

// What the SDK sets in its own Transport goes with that: the header with which it names itself, and
// VerifySsl.
func TestSDKHeadersReachLookerThroughTheSettings(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	var sent http.Header
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		sent = req.Header
		return fake.Transport().RoundTrip(req)
	})
	session := rtl.NewAuthSession(rtl.ApiSettings{
		BaseUrl: fake.URL,
		Headers: map[string]string{"x-looker-appid": "go-sdk"},
	})
	session.Client.Transport = cache.User("789").Transport(base)

	checkMe(t, v4.NewLookerSDK(session), "789")

	if appID := sent.Get("x-looker-appid"); appID != "go-sdk" {
		t.Errorf("x-looker-appid is %q", appID)
	}
}
