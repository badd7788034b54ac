package integration

import (
	"testing"

	"github.com/go-resty/resty/v2"

	"github.com/lookerauth/lookerauth"
)

// checkResty fails the test if resty got no answer, or not the one that is wanted.
func checkResty(t *testing.T, resp *resty.Response, err error, got, want answer) {
	t.Helper()
	if err != nil || resp.IsError() || got != want {
		t.Errorf("Looker answered %v, and saw %+v, want %+v (%v)", resp, got, want, err)
	}
}

func TestRestyClientActsAsAUser(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	cfg := fake.Config()
	query := map[string]string{"model": "m"}
	var result answer

	client := resty.NewWithClient(cache.User("789").Client()).SetBaseURL(cfg.BaseURL + "/api/4.0")
	resp, err := client.R().SetBody(query).SetResult(&result).Post("/queries")

	checkResty(t, resp, err, result, answer{UserID: "789", Body: `{"model":"m"}`})
}

func TestRestyClientActsAsTheUserOfEachRequest(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	client := resty.New().SetBaseURL(fake.URL + "/api/4.0").SetTransport(cache.Transport(nil))

	for _, userID := range []string{"789", "790"} {
		var result answer
		ctx := lookerauth.WithUser(t.Context(), userID)
		resp, err := client.R().SetContext(ctx).SetResult(&result).Get("/looks/1")
		checkResty(t, resp, err, result, answer{UserID: userID})
	}
}

func TestRestyRequestIsSentAgainAfterARevocation(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	client := resty.NewWithClient(cache.User("789").Client()).SetBaseURL(fake.URL + "/api/4.0")
	var result answer
	resp, err := client.R().SetResult(&result).Get("/looks/1")
	checkResty(t, resp, err, result, answer{UserID: "789"})

	fake.Revoke("789")
	query := map[string]string{"model": "m"}
	resp, err = client.R().SetBody(query).SetResult(&result).Post("/queries")

	checkResty(t, resp, err, result, answer{UserID: "789", Body: `{"model":"m"}`})
	checkReplays(t, cache, 1)
	checkLogins(t, fake, 2)
}
