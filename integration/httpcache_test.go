package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gregjones/httpcache"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// makeCacheable lets a response cache keep all answers for an hour, and gives them this Vary.
func makeCacheable(fake *lookertest.Server, vary string) {
	fake.FailFunc(func(call lookertest.Request) lookertest.Fault {
		if call.Op != lookertest.OpAPI {
			return lookertest.Fault{}
		}
		header := http.Header{"Cache-Control": {"max-age=3600"}}
		if vary != "" {
			header.Set("Vary", vary)
		}
		return lookertest.Fault{Header: header, Body: `{"user_id":"` + call.UserID + `"}`}
	})
}

// getAs makes one request as a user, and checks whose answer comes.
func getAs(t *testing.T, client *http.Client, url, userID, answeredAs string) {
	t.Helper()
	ctx := lookerauth.WithUser(t.Context(), userID)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/4.0/looks/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	check(t, resp, err, answer{UserID: answeredAs})
}

func TestResponseCacheForEachUserIsSafe(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		makeCacheable(fake, "")
		cache := newCache(t, fake.Config())

		for _, userID := range []string{"789", "790"} {
			responses := httpcache.NewTransport(httpcache.NewMemoryCache()) // one for each user
			responses.Transport = cache.User(userID).Transport(nil)
			client := responses.Client()

			getAs(t, client, fake.URL, userID, userID)
			getAs(t, client, fake.URL, userID, userID)
			if n := fake.Count(lookertest.OpAPI, userID); n != 1 {
				t.Errorf("%d requests as %s, want 1, and one answered from the cache", n, userID)
			}
		}
	})
}

// Above the Transport a request does not show whose it is. A response cache goes by its URL alone.
func TestResponseCacheAboveTheTransportOfManyMixesUsersUp(t *testing.T) {
	for _, vary := range []string{"", "Authorization"} {
		t.Run("Vary: "+vary, func(t *testing.T) {
			simulate(t, func(t *testing.T, fake *lookertest.Server) {
				makeCacheable(fake, vary)
				cache := newCache(t, fake.Config())
				responses := httpcache.NewTransport(httpcache.NewMemoryCache())
				responses.Transport = cache.Transport(nil)

				getAs(t, responses.Client(), fake.URL, "789", "789")
				getAs(t, responses.Client(), fake.URL, "790", "789") // the wrong user's
			})
		})
	}
}

// Below the Transport a response cache sees the token, and does not look at it: it takes itself for
// one user's.
func TestResponseCacheBelowTheTransportMixesUsersUp(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		makeCacheable(fake, "")
		cache := newCache(t, fake.Config())
		responses := httpcache.NewTransport(httpcache.NewMemoryCache())
		responses.Transport = fake.Transport()
		client := &http.Client{Transport: cache.Transport(responses)}

		getAs(t, client, fake.URL, "789", "789")
		getAs(t, client, fake.URL, "790", "789") // the wrong user's
	})
}

// Vary: Authorization keeps users apart below the Transport, but puts tokens into the response
// cache.
func TestResponseCacheBelowTheTransportStoresTokens(t *testing.T) {
	simulate(t, func(t *testing.T, fake *lookertest.Server) {
		makeCacheable(fake, "Authorization")
		cache := newCache(t, fake.Config())
		stored := &lastStored{Cache: httpcache.NewMemoryCache()}
		responses := httpcache.NewTransport(stored)
		responses.Transport = fake.Transport()
		client := &http.Client{Transport: cache.Transport(responses)}

		getAs(t, client, fake.URL, "789", "789")
		getAs(t, client, fake.URL, "790", "790")

		token, err := cache.User("790").TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(stored.response, token.AccessToken) {
			t.Error("the response cache holds no token")
		}
	})
}

// lastStored tells what was stored last.
type lastStored struct {
	httpcache.Cache
	response string
}

func (s *lastStored) Set(key string, response []byte) {
	s.response = string(response)
	s.Cache.Set(key, response)
}
