package integration

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/go-retryablehttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestOAuth2TransportActsAsAUser(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())

	client := &http.Client{Transport: &oauth2.Transport{Source: cache.User("789")}}
	resp, err := client.Get(fake.URL + "/api/4.0/looks/1")

	check(t, resp, err, answer{UserID: "789"})
}

func TestOAuth2TransportActsAsAUserThroughABase(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	base := fake.Transport()

	client := &http.Client{Transport: &oauth2.Transport{Source: cache.User("789"), Base: base}}
	resp, err := client.Get(fake.URL + "/api/4.0/looks/1")

	check(t, resp, err, answer{UserID: "789"})
}

// An oauth2.Transport below ours would put its own token on a user's requests.
func TestOAuth2TransportIsNoBase(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, fake.Client())
	admin := oauth2.NewClient(ctx, cache.ServiceAccount())
	checkStatus(t, admin, fake.URL, http.StatusOK)

	client := &http.Client{Transport: cache.User("789").Transport(admin.Transport)}
	checkRefusedBase(t, client, fake)

	// Its own base is what carries both.
	base := admin.Transport.(*oauth2.Transport).Base
	client = &http.Client{Transport: cache.User("789").Transport(base)}
	resp, err := client.Get(fake.URL + "/api/4.0/looks/1")
	check(t, resp, err, answer{UserID: "789"})
}

// checkRefusedBase fails the test if a request through client reaches Looker, or the error does not
// say what to do.
func checkRefusedBase(t *testing.T, client *http.Client, fake *lookertest.Server) {
	t.Helper()
	before := fake.Count(lookertest.OpAPI, "")
	resp, err := client.Get(fake.URL + "/api/4.0/looks/1")
	if err == nil {
		resp.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "the field Base of an oauth2.Transport") {
		t.Errorf("got %v", err)
	}
	if sent := fake.Count(lookertest.OpAPI, "") - before; sent != 0 {
		t.Errorf("%d requests were sent", sent)
	}
}

// Within another RoundTripper it is found out by the response, which is withheld.
func TestOAuth2TransportWithinABaseIsNeverAnswered(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	admin := &oauth2.Transport{Source: cache.ServiceAccount(), Base: fake.Transport()}
	retrying := newRetrying(&http.Client{Transport: admin, CheckRedirect: doNotFollow})
	for name, base := range map[string]http.RoundTripper{
		"otelhttp":      otelhttp.NewTransport(admin),
		"retryablehttp": &retryablehttp.RoundTripper{Client: retrying},
	} {
		client := &http.Client{Transport: cache.User("789").Transport(base)}
		resp, err := client.Get(fake.URL + "/api/4.0/looks/1")
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: answered %s", name, resp.Status)
		} else if !strings.Contains(err.Error(), "as somebody else") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// No Transport of lookerauth sees the 401, so the caller has to tell.
func TestOAuth2TransportGoesOnAfterInvalidate(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	source := cache.User("789")
	client := &http.Client{Transport: &oauth2.Transport{Source: source}}
	rejected, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}

	fake.Revoke("789")
	checkStatus(t, client, fake.URL, http.StatusUnauthorized)

	source.Invalidate(rejected)
	checkStatus(t, client, fake.URL, http.StatusOK)
}

func TestOAuth2NewClientActsAsAUser(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	ctx := t.Context()

	client := oauth2.NewClient(ctx, cache.User("789"))
	resp, err := client.Get(fake.URL + "/api/4.0/looks/1")

	check(t, resp, err, answer{UserID: "789"})
}

// oauth2.NewClient puts a ReuseTokenSource around the source it gets. That keeps a token until it
// expires, whatever becomes of it meanwhile, where the source itself would have another one.
func TestReuseTokenSourceKeepsATokenThatWasReplaced(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	source := cache.User("789")
	reused := oauth2.NewClient(t.Context(), source)
	direct := &http.Client{Transport: &oauth2.Transport{Source: source}}
	checkStatus(t, reused, fake.URL, http.StatusOK)
	rejected, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}

	fake.Revoke("789")
	source.Invalidate(rejected)

	checkStatus(t, direct, fake.URL, http.StatusOK)
	checkStatus(t, reused, fake.URL, http.StatusUnauthorized)
	checkStatus(t, reused, fake.URL, http.StatusUnauthorized)
}

// checkStatus fails the test if a request through client is not answered with this status.
func checkStatus(t *testing.T, client *http.Client, url string, want int) {
	t.Helper()
	resp, err := client.Get(url + "/api/4.0/looks/1")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("Looker answered %s, want %d", resp.Status, want)
	}
}
