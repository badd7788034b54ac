package lookerauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// What a handler answers if Looker does not log its customer in.
func ExampleCallError() {
	looker := startLooker()
	defer looker.Close()
	cache := newExampleCache(looker)
	defer cache.Close(context.Background())
	looker.SetUsers(lookertest.User{ID: "789"})

	status := func(err error) int {
		var failed *lookerauth.CallError
		switch {
		case errors.Is(err, lookerauth.ErrUserNotFound):
			return http.StatusForbidden
		case errors.As(err, &failed):
			log.Print(failed) // which holds no key and no token
			return http.StatusBadGateway
		}
		return http.StatusInternalServerError
	}

	_, err := cache.User("790").Token()
	fmt.Println(status(err))
	// Output: 403
}

// A page that says how logging in goes. To look costs no call.
func ExampleCache_Health() {
	looker := startLooker()
	defer looker.Close()
	cache := newExampleCache(looker)
	defer cache.Close(context.Background())

	words := func(of string, login lookerauth.LoginHealth) string {
		var since lookerauth.FailureTimes = login.Reasons
		switch {
		case login.FailingSince.IsZero():
			return of + " log in"
		case !since.Refused.IsZero():
			return of + " are refused: look at the service account's role"
		case !since.Unavailable.IsZero():
			return of + " cannot log in: Looker is away"
		}
		return of + " cannot log in: " + login.Err.Error()
	}
	show := func(health lookerauth.Health) { fmt.Println(words("users", health.Users)) }

	show(cache.Health())
	looker.SetAdmin(false)
	for _, userID := range []string{"789", "790"} { // one might be that user's own matter
		_, _ = cache.User(userID).Token()
	}
	show(cache.Health())
	// Output:
	// users log in
	// users are refused: look at the service account's role
}

func ExampleCache_Stats() {
	looker := startLooker()
	defer looker.Close()
	cache := newExampleCache(looker)
	defer cache.Close(context.Background())
	looker.SetUsers(lookertest.User{ID: "789"})
	for _, userID := range []string{"789", "790", "789"} {
		_, _ = cache.User(userID).Token()
	}

	var stats lookerauth.Stats = cache.Stats()
	var users lookerauth.LoginStats = stats.UserLogins
	var failed lookerauth.LoginFailures = users.Failed // while callers waited

	fmt.Println(stats.Users, "user,", users.Granted, "login,", failed.NotFound, "not found")
	// Output: 1 user, 1 login, 1 not found
}

// Keys that are rotated come from where they are kept, each time one is needed.
func ExampleAPIKey() {
	looker := startLooker()
	defer looker.Close()
	cfg := looker.Config()
	secrets := func() (string, error) { // asks a secret manager, say
		return fmt.Sprintf(`{"id":%q,"secret":%q}`, cfg.ClientID, cfg.ClientSecret), nil
	}

	config := lookerauth.Config{
		BaseURL:   cfg.BaseURL,
		AllowHTTP: true, // for the fake one
		APIKey: func(context.Context) (lookerauth.APIKey, error) {
			text, err := secrets()
			if err != nil {
				return lookerauth.APIKey{}, err
			}
			var key struct{ ID, Secret string }
			if err := json.Unmarshal([]byte(text), &key); err != nil {
				return lookerauth.APIKey{}, err
			}
			return lookerauth.APIKey{ClientID: key.ID, ClientSecret: key.Secret}, nil
		},
	}
	cache, err := lookerauth.New(config)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(context.Background())

	showName(cache.ServiceAccount().Client().Get(cfg.BaseURL + "/api/4.0/user"))
	// Output: Service account
}

// A clock that stands still until a test sets it forward.
func ExampleClock() {
	now := clock.NewMock()
	looker := startLooker(lookertest.WithClock(now))
	defer looker.Close()
	cfg := looker.Config()

	var fake lookerauth.Clock = now
	cfg.Clock = fake
	cache, err := lookerauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(context.Background())

	for range 3 {
		_, _ = cache.User("789").Token()
		now.Add(45 * time.Minute) // a token lives for 60
	}
	fmt.Println(looker.Count(lookertest.OpLoginUser, "789"), "logins")
	// Output: 2 logins
}

// Customers have an id of your own at Looker. Who it is asks Looker, at each login.
func ExampleUserByCredential() {
	looker := startLooker()
	defer looker.Close()
	looker.SetUsers(lookertest.User{
		ID: "789", FirstName: "Ann", Credentials: map[lookerauth.CredentialType]string{
			lookerauth.CredentialEmbed: "customer-42",
		},
	})
	cache := newExampleCache(looker)
	defer cache.Close(context.Background())

	var who lookerauth.Identity = lookerauth.UserByCredential(
		lookerauth.CredentialEmbed, "customer-42")

	fmt.Println(who)
	showName(cache.As(who).Client().Get(looker.URL + "/api/4.0/user"))
	// Output:
	// embed:customer-42
	// Ann
}
