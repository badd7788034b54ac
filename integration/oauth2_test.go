package integration

import (
	"net/http"
	"testing"

	"golang.org/x/oauth2"
)

func TestOAuth2TransportActsAsAUser(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())

	client := &http.Client{Transport: &oauth2.Transport{Source: cache.User("789")}}
	resp, err := client.Get(fake.URL + "/api/4.0/looks/1")

	check(t, resp, err, answer{UserID: "789"})
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
