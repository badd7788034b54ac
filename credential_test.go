package lookerauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// customer is an embed user who is known by an id that Looker did not give.
var customer = lookerauth.UserByCredential(lookerauth.CredentialEmbed, "customer 42")

const customerPath = "/users/credential/embed/customer 42"

// setCustomer makes the customer the user with this id, and nobody else's.
func setCustomer(looker *lookertest.Server, id string) {
	looker.SetUsers(lookertest.User{ID: id, Credentials: map[lookerauth.CredentialType]string{
		lookerauth.CredentialEmbed: "customer 42",
	}})
}

// lookUps counts the look-ups of the customer.
func lookUps(looker *lookertest.Server) (n int) {
	for _, call := range looker.Requests() {
		if call.Path == customerPath {
			n++
		}
	}
	return n
}

func checkLookUps(t *testing.T, looker *lookertest.Server, want int) {
	t.Helper()
	if n := lookUps(looker); n != want {
		t.Errorf("%d look-ups, want %d", n, want)
	}
}

// failLookUps makes the next n look-ups meet the fault, and lets others pass.
func failLookUps(looker *lookertest.Server, n int, fault lookertest.Fault) {
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
		if call.Path != customerPath {
			return lookertest.Fault{}
		}
		select {
		case <-left:
			return fault
		default:
			return lookertest.Fault{}
		}
	})
}

func TestUserByCredentialActsAsWhoHasIt(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setCustomer(looker, "789")
		var login lookerauth.Login
		cache := newCache(t, looker, withAfterLogin(
			func(_ context.Context, l lookerauth.Login) error {
				login = l
				return nil
			}))
		client := cache.As(customer).Client()
		for range 3 {
			answersAs(t, client, looker, "789")
		}
		checkCalls(t, looker, 1, 1)
		checkLookUps(t, looker, 1)
		if login.Identity != customer || login.UserID != "789" {
			t.Errorf("AfterLogin was told of %v", login)
		}
		for _, call := range looker.Requests() {
			if call.Path == customerPath && call.Query.Get("fields") != "id" {
				t.Errorf("it was asked for %v", call.Query)
			}
		}
	})
}

func TestAContextNamesAUserByCredential(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setCustomer(looker, "789")
		client := &http.Client{Transport: newCache(t, looker).Transport(nil)}
		ctx := lookerauth.WithIdentity(t.Context(), customer)
		answersContextAs(t, ctx, client, looker, "789")
	})
}

// Looker may give an embed user another id with every embed session.
func TestEachLoginFollowsAnIDThatChanges(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setCustomer(looker, "789")
		cache := newCache(t, looker)
		client := cache.As(customer).Client()
		answersAs(t, client, looker, "789")
		setCustomer(looker, "790")
		time.Sleep(time.Hour)
		answersAs(t, client, looker, "790")
		looker.Revoke("790")
		setCustomer(looker, "791")
		answersAs(t, client, looker, "791")
		for _, old := range []string{"789", "790", "791"} {
			checkLogins(t, looker, old, 1)
		}
	})
}

func TestIDThatChangesBetweenLookUpAndLoginIsLookedUpOnceMore(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setCustomer(looker, "789")
		cache := newCache(t, looker)
		looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			if call.Op == lookertest.OpLoginUser && call.UserID == "789" {
				setCustomer(looker, "790")
			}
			return lookertest.Fault{}
		})
		answersAs(t, cache.As(customer).Client(), looker, "790")
		checkCalls(t, looker, 1, 2)
		checkLookUps(t, looker, 2)
	})
}

func TestUserWhomLoginUserDoesNotKnowIsLookedUpTwiceAtMost(t *testing.T) {
	for next, logins := range map[string]int{"789": 1, "790": 2} { // the same id, or another one
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			setCustomer(looker, "789")
			cache := newCache(t, looker)
			looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
				if call.Op != lookertest.OpLoginUser {
					return lookertest.Fault{}
				}
				setCustomer(looker, next)
				return answered(http.StatusNotFound)
			})
			_, err := cache.As(customer).Token()
			checkError(t, err, lookerauth.ErrUserNotFound)
			if failed := callError(t, err); failed.Op != "login_user" ||
				failed.Identity != customer {
				t.Errorf("got %+v", failed)
			}
			checkLookUps(t, looker, 2)
			checkCalls(t, looker, 1, logins)
		})
	}
}

func TestUserWhoIsGoneWhenLookedUpOnceMoreIsLoggedInAsNobody(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setCustomer(looker, "789")
		looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			if call.Op == lookertest.OpLoginUser {
				looker.SetUsers()
			}
			return lookertest.Fault{}
		})
		_, err := newCache(t, looker).As(customer).Token()
		checkError(t, err, lookerauth.ErrUserNotFound)
		if failed := callError(t, err); failed.Op != "user_for_credential" {
			t.Errorf("got %v", err)
		}
		checkLookUps(t, looker, 2)
		checkCalls(t, looker, 1, 1)
	})
}

func TestLookUpThatFailsSaysWhy(t *testing.T) {
	const customers = `user_for_credential "embed:customer 42": looker answered `
	for _, test := range []struct {
		fault lookertest.Fault
		is    error
		says  string
		calls int
	}{
		{answered(404), lookerauth.ErrUserNotFound, `404 ("Not Found"): no such user: `, 1},
		{answered(403), lookerauth.ErrForbidden,
			"403 (Forbidden): the service account may not look users up: give it the Admin", 1},
		{answered(400), nil, "400", 1},
		{answered(503), nil, "503", 3},
		{answeredBody("<html>"), lookerauth.ErrNotLooker,
			"200: its body is not a user in JSON", 1},
		{answeredBody("[]"), lookerauth.ErrNotLooker, "200: its body is not a user in JSON", 1},
		{answeredBody("{}"), lookerauth.ErrNotLooker, "200: its id is missing or malformed", 1},
		{answeredBody(`{"id":null}`), lookerauth.ErrNotLooker, "200: its id is missing", 1},
		{answeredBody(`{"id":""}`), lookerauth.ErrNotLooker, "200: its id is missing", 1},
		{answeredBody(`{"id":["1"]}`), lookerauth.ErrNotLooker, "200: its id is missing", 1},
		{answeredBody(`{"id":"../1"}`), lookerauth.ErrNotLooker,
			"200: the id in it can be no user's", 1},
		{answeredBody(`{"id":" 1"}`), lookerauth.ErrNotLooker,
			"200: the id in it can be no user's", 1},
	} {
		simulate(t, func(t *testing.T, looker *lookertest.Server) {
			setCustomer(looker, "789")
			failLookUps(looker, 100, test.fault)
			cache := newCache(t, looker)
			_, err := cache.As(customer).Token()
			failed := callError(t, err)
			if failed.Op != "user_for_credential" || failed.Identity != customer ||
				test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%+v: got %+v", test.fault, failed)
			}
			checkErrorSays(t, err, customers+test.says)
			checkCalls(t, looker, 1, 0)
			checkLookUps(t, looker, test.calls)
			_, err = cache.As(customer).Token()
			checkErrorSays(t, err, "ago; next try in")
			checkLookUps(t, looker, test.calls)
		})
	}
}

// API 3.x has numbers.
func TestIDMayBeANumber(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		failLookUps(looker, 1, answeredBody(`{"id":789}`))
		answersAs(t, newCache(t, looker).As(customer).Client(), looker, "789")
	})
}

// What holds for logins does so for look-ups.
func TestLookUpIsALoginsCall(t *testing.T) {
	for name, test := range map[string]struct {
		fault                     lookertest.Fault
		least                     time.Duration
		lookUps, login, loginUser int
	}{
		"it is tried again":                 {answered(503), 100 * time.Millisecond, 2, 1, 1},
		"a pause is waited out":             {rateLimited("7"), 7 * time.Second, 2, 1, 1},
		"an answer that is lost":            {delayed(time.Hour), 10 * time.Second, 2, 1, 1},
		"the service account is rejected":   {answered(401), 0, 2, 2, 1},
		"the connection ends in the middle": {lookertest.Fault{Drop: true}, 0, 2, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				setCustomer(looker, "789")
				failLookUps(looker, 1, test.fault)
				begin := time.Now()
				answersAs(t, newCache(t, looker).As(customer).Client(), looker, "789")
				if took := time.Since(begin); took < test.least || took > test.least+time.Second {
					t.Errorf("it took %v", took)
				}
				checkCalls(t, looker, test.login, test.loginUser)
				checkLookUps(t, looker, test.lookUps)
			})
		})
	}
}

func TestLookUpTakesASlot(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setCustomer(looker, "789")
		looker.FailFunc(func(lookertest.Request) lookertest.Fault { return delayed(time.Second) })
		cache := newCache(t, looker, maxConcurrentLogins(1))
		begin := time.Now()
		waiting := tokenInBackground(cache.As(customer))
		time.Sleep(1500 * time.Millisecond) // it is looked up
		other := tokenInBackground(cache.User("789"))
		checkError(t, <-waiting, nil)
		checkError(t, <-other, nil)
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("four calls of a second took %v", took)
		}
	})
}

func TestLookUpThatIsRateLimitedPausesLogins(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setCustomer(looker, "789")
		failLookUps(looker, 1, rateLimited("240"))
		cache := newCache(t, looker)
		failsWith(t, cache.As(customer), lookerauth.ErrRateLimited)
		failsWith(t, cache.User("789"), lookerauth.ErrRateLimited)
		checkCalls(t, looker, 1, 0)
	})
}

func TestFleetSharesTheTokenOfAUserByCredential(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setCustomer(looker, "789")
		for _, cache := range newFleet(t, looker, 3, withStore(newMemoryStore())) {
			answersAs(t, cache.As(customer).Client(), looker, "789")
			answersAs(t, cache.User("789").Client(), looker, "789")
		}
		checkCalls(t, looker, 1, 2) // they are two identities
		checkLookUps(t, looker, 1)
	})
}

// Whoever may choose a credential's id must not choose what is called, nor be taken for another.
func TestCredentialThatNobodyCanHaveIsInvalid(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		for _, id := range []string{
			"", ".", "..", "a/b", `a\b`, "a%2fb", "a;b", "a?b", "a#b", "a\x00b", "a\nb", "a\x7fb",
			"a\u0085b", " a", "a ", "\u00a0a", "a\xffb", strings.Repeat("x", 256),
		} {
			failsWith(t, cache.As(lookerauth.UserByCredential("embed", id)),
				lookerauth.ErrInvalidIdentity)
		}
		for _, typ := range []lookerauth.CredentialType{
			"", "user", "service_account", "Embed", "e/b", "e:b", "e b", "é", ".", `"embed"`,
		} {
			failsWith(t, cache.As(lookerauth.UserByCredential(typ, "x")),
				lookerauth.ErrInvalidIdentity)
		}
		if calls := looker.Requests(); len(calls) != 0 {
			t.Errorf("%d calls", len(calls))
		}
		for _, id := range []string{"ü", "日本", "a:b", "a@b", "a b", "'", strings.Repeat("x", 255)} {
			failsWith(t, cache.As(lookerauth.UserByCredential("new_type_1", id)),
				lookerauth.ErrUserNotFound)
		}
	})
}

func TestIdentitiesByCredentialAreTold(t *testing.T) {
	byCredential := lookerauth.UserByCredential
	all := []lookerauth.Identity{
		{}, lookerauth.ServiceAccount(), lookerauth.User("7"), lookerauth.User(""),
		byCredential("embed", "7"), byCredential("email", "7"), byCredential("embed", ""),
		byCredential("user", "7"), byCredential("service_account", ""), byCredential("", "7"),
		byCredential("a:b", "c"), byCredential("a", "b:c"), byCredential(`"a`, "b"),
		byCredential(`"user"`, "7"), byCredential("nobody", ""),
	}
	names := make(map[string]lookerauth.Identity)
	for _, who := range all {
		if other, ok := names[who.String()]; ok {
			t.Errorf("%#v and %#v are both %q", other, who, who)
		}
		names[who.String()] = who
	}
	if same := byCredential("embed", "7"); names[same.String()] != same {
		t.Error("the same one is another")
	}
	if got := byCredential("embed", "customer-42").String(); got != "embed:customer-42" {
		t.Errorf("got %q", got)
	}
}

// While the look-up alone fails, the cause is the look-up's; a user's own id goes on working.
func TestFailureOfLookUpsIsOverWithALookUp(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		setCustomer(looker, "789")
		failLookUps(looker, 100, answered(http.StatusForbidden))
		cache := newCache(t, looker)
		other := lookerauth.UserByCredential(lookerauth.CredentialEmbed, "43")
		looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
			if strings.HasPrefix(call.Path, "/users/credential/") {
				return answered(http.StatusForbidden)
			}
			return lookertest.Fault{}
		})
		for _, who := range []lookerauth.Identity{customer, other} {
			failsWith(t, cache.As(who), lookerauth.ErrForbidden)
		}
		failingSince := func() bool { return !cache.Health().Users.FailingSince.IsZero() }
		accessToken(t, cache.User("789"))
		time.Sleep(2 * time.Minute)
		if accessToken(t, cache.User("789")); !failingSince() {
			t.Error("they work again, after a login without a look-up")
		}
		healthy(looker)
		accessToken(t, cache.As(customer))
		time.Sleep(2 * time.Minute)
		if accessToken(t, cache.As(customer)); failingSince() {
			t.Error("they do not work again, after one with a look-up")
		}
	})
}

func TestErrorsOfCredentialsSayWhatToDo(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		_, err := newCache(t, looker).As(lookerauth.UserByCredential("SAML", "a/b")).Token()
		want := `lookerauth: credential "\"SAML\":a/b": invalid identity: the type is of a to z, ` +
			`0 to 9 and _, and not user or service_account; the id has 1 to 255 bytes of UTF-8, ` +
			`none of / \ % ; ? # or control characters, no space at an end, ` +
			`and is not "." or ".."`
		if err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}
