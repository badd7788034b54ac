package integration

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/looker-open-source/sdk-codegen/go/rtl"
	v4 "github.com/looker-open-source/sdk-codegen/go/sdk/v4"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// embedOf makes the fake answer a call of embedding: with who asked, as the URL or the token.
func embedOf(fake *lookertest.Server, pattern string) {
	fake.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		asked := lookertest.UserOf(r).ID
		lookertest.JSON(w, http.StatusOK, map[string]any{
			"url":                     "https://looker.example/as/" + asked,
			"authentication_token":    "authentication of " + asked,
			"api_token":               "api of " + asked,
			"navigation_token":        "navigation of " + asked,
			"session_reference_token": "reference of " + asked,
		})
	})
}

// embedding starts a Looker that embeds, and returns the official SDK on a client of the service
// account's, and on one of user 789's.
func embedding(t *testing.T) (admin, user *v4.LookerSDK, fake *lookertest.Server) {
	t.Helper()
	fake = startFake(t, nil)
	for _, pattern := range []string{
		"POST /embed/sso_url", "POST /embed/token_url/me", "POST /embed/cookieless_session/acquire",
		"PUT /embed/cookieless_session/generate_tokens",
	} {
		embedOf(fake, pattern)
	}
	cache := newCache(t, fake.Config())
	return embedder(fake.URL, cache.ServiceAccount()), embedder(fake.URL, cache.User("789")), fake
}

func embedder(baseURL string, source *lookerauth.TokenSource) *v4.LookerSDK {
	session := rtl.NewAuthSession(rtl.ApiSettings{BaseUrl: baseURL})
	session.Client = *source.Client()
	looker := v4.NewLookerSDK(session)
	return looker
}

// checkEmbed fails the test unless the answer to a call of embedding is this one.
func checkEmbed(t *testing.T, err error, got *string, want string) {
	t.Helper()
	if err != nil {
		t.Error(err)
	} else if got == nil || *got != want {
		t.Errorf("got %v, want %q", got, want)
	}
}

func TestSignedURLIsMadeByTheServiceAccount(t *testing.T) {
	looker, _, _ := embedding(t)
	customer := "customer-42"
	models, permissions := []string{"orders"}, []string{"access_data", "see_user_dashboards"}

	signed, err := looker.CreateSsoEmbedUrl(v4.EmbedSsoParams{
		TargetUrl:      "https://looker.example/dashboards/56",
		ExternalUserId: &customer,
		Models:         &models,
		Permissions:    &permissions,
	}, nil)

	checkEmbed(t, err, signed.Url, "https://looker.example/as/"+lookertest.ServiceAccountID)
}

func TestURLOfAUserIsMadeByThatUser(t *testing.T) {
	_, looker, _ := embedding(t)

	own, err := looker.CreateEmbedUrlAsMe(v4.EmbedParams{
		TargetUrl: "https://looker.example/embed/dashboards/56",
	}, nil)

	checkEmbed(t, err, own.Url, "https://looker.example/as/789")
}

func TestCookielessSessionIsAcquiredByTheServiceAccount(t *testing.T) {
	looker, _, _ := embedding(t)
	customer := "customer-42"
	models, permissions := []string{"orders"}, []string{"access_data", "see_user_dashboards"}
	var reference *string // what the customer's session has of an earlier answer

	acquired, err := looker.AcquireEmbedCookielessSession(v4.EmbedCookielessSessionAcquire{
		ExternalUserId:        &customer,
		Models:                &models,
		Permissions:           &permissions,
		SessionReferenceToken: reference,
	}, nil)

	admin := lookertest.ServiceAccountID
	checkEmbed(t, err, acquired.AuthenticationToken, "authentication of "+admin)
	reference = acquired.SessionReferenceToken

	tokens, err := looker.GenerateTokensForCookielessSession(
		v4.EmbedCookielessSessionGenerateTokens{
			SessionReferenceToken: *reference,
			ApiToken:              acquired.ApiToken,
			NavigationToken:       acquired.NavigationToken,
		}, nil)

	checkEmbed(t, err, tokens.NavigationToken, "navigation of "+admin)
}

// Looker does not know a customer who has never had a session of embedding.
func TestCustomerWithoutASessionIsUnknownUntilMade(t *testing.T) {
	fake := startFake(t, nil)
	fake.SetUsers()
	fake.HandleFunc("POST /users/embed_user", func(w http.ResponseWriter, r *http.Request) {
		var asked v4.CreateEmbedUserRequest
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		fake.SetUsers(lookertest.User{
			ID: "789", Credentials: map[lookerauth.CredentialType]string{
				lookerauth.CredentialEmbed: asked.ExternalUserId,
			},
		})
		lookertest.JSON(w, http.StatusOK, map[string]any{"id": "789"})
	})
	cache := newCache(t, fake.Config())
	customer := cache.As(lookerauth.UserByCredential(lookerauth.CredentialEmbed, "customer-42"))
	if _, err := customer.Token(); !errors.Is(err, lookerauth.ErrUserNotFound) {
		t.Fatalf("the error is %v", err)
	}
	looker, ctx := embedder(fake.URL, cache.ServiceAccount()), t.Context()

	_, err := looker.CreateEmbedUser(v4.CreateEmbedUserRequest{ExternalUserId: "customer-42"}, nil)
	if err == nil {
		err = customer.Logout(ctx) // or he is unknown for another 5 seconds
	}

	if err != nil {
		t.Fatal(err)
	}
	checkMe(t, sdkOf(fake, customer), "789")
}
