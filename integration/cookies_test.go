package integration

import (
	"net/http"
	"net/http/cookiejar"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// startPinning starts a Looker behind something that pins each user to a server with a cookie. It
// returns a Config, and which cookies the last request had.
func startPinning(t *testing.T) (fake *lookertest.Server, cfg lookerauth.Config, last *string) {
	t.Helper()
	fake, last = startFake(t, nil), new(string)
	fake.FailFunc(func(call lookertest.Request) lookertest.Fault {
		pin := http.Cookie{Name: "pin", Value: "of-" + call.UserID, Path: "/"}
		return lookertest.Fault{Header: http.Header{"Set-Cookie": {pin.String()}}}
	})
	cfg = fake.Config()
	cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		*last = req.Header.Get("Cookie")
		return fake.Transport().RoundTrip(req)
	})
	return fake, cfg, last
}

// checkCookies fails the test if the last request did not have these cookies.
func checkCookies(t *testing.T, last *string, userID, want string) {
	t.Helper()
	if *last != want {
		t.Errorf("the request of %s has the cookies %q, want %q", userID, *last, want)
	}
}

// The token is one user's then, and the cookie another's.
func TestJarOfManyUsersGivesOnesCookiesToAnother(t *testing.T) {
	fake, cfg, last := startPinning(t)
	cache := newCache(t, cfg)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: cache.Transport(nil), Jar: jar}

	getAs(t, client, fake.URL, "789", "789")
	checkCookies(t, last, "789", "")
	getAs(t, client, fake.URL, "790", "790")
	checkCookies(t, last, "790", "pin=of-789")
}

func TestJarForEachUserKeepsCookiesApart(t *testing.T) {
	fake, cfg, last := startPinning(t)
	cache := newCache(t, cfg)
	for _, userID := range []string{"789", "790"} {
		var err error
		client := cache.User(userID).Client()
		client.Jar, err = cookiejar.New(nil) // one for each user
		if err != nil {
			t.Fatal(err)
		}
		getAs(t, client, fake.URL, userID, userID)
		checkCookies(t, last, userID, "") // neither another's, nor that of his own login
		getAs(t, client, fake.URL, userID, userID)
		checkCookies(t, last, userID, "pin=of-"+userID)
	}
}

func TestClientKeepsNoCookies(t *testing.T) {
	fake, cfg, last := startPinning(t)
	client := newCache(t, cfg).User("789").Client()
	for range 2 {
		getAs(t, client, fake.URL, "789", "789")
		checkCookies(t, last, "789", "")
	}
}
