package lookerauth_test

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// The trace of a request is told of that alone, and not of the logins that it waits for.
func TestTraceOfARequestSeesNoLogin(t *testing.T) {
	looker := lookertest.New(t)
	var dialed int
	var sent []string
	trace := &httptrace.ClientTrace{
		ConnectStart: func(string, string) { dialed++ },
		WroteHeaderField: func(name string, values []string) {
			if name == "Authorization" {
				sent = append(sent, values...)
			}
		},
	}
	afterLogin := func(ctx context.Context, login lookerauth.Login) error {
		id := cmp.Or(login.UserID, lookertest.ServiceAccountID)
		answersContextAs(t, ctx, login.Client, looker, id)
		return nil
	}
	key := looker.Config()
	vault := func(cfg *lookerauth.Config) {
		cfg.APIKey = func(ctx context.Context) (lookerauth.APIKey, error) {
			if httptrace.ContextClientTrace(ctx).WroteHeaderField != nil {
				t.Error("the trace sees what APIKey does")
			}
			return lookerauth.APIKey{ClientID: key.ClientID, ClientSecret: key.ClientSecret}, nil
		}
	}
	cache := newCache(t, looker, withAfterLogin(afterLogin), vault)
	base := looker.Transport().(*http.Transport).Clone()
	defer base.CloseIdleConnections()
	user := cache.User("789")
	ctx := httptrace.WithClientTrace(t.Context(), trace)
	answersContextAs(t, ctx, &http.Client{Transport: user.Transport(base)}, looker, "789")
	want := []string{"token " + accessToken(t, user)}
	if err := user.Logout(ctx); err != nil {
		t.Fatal(err)
	}
	if dialed != 1 || !slices.Equal(sent, want) {
		t.Errorf("%d connections, and Authorization %v, want one, and %v", dialed, sent, want)
	}
}

// Nor does an informational response to a login go to the browser for which a proxy makes the
// request. The values of the context do.
func TestLoginHasTheCallersValuesButNotItsTrace(t *testing.T) {
	type key struct{}
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var informed []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
			informed = append(informed, "here")
			return nil
		}}
		var values []any
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			values = append(values, req.Context().Value(key{}))
			if got := httptrace.ContextClientTrace(req.Context()); got != nil &&
				got.Got1xxResponse != nil {
				_ = got.Got1xxResponse(http.StatusEarlyHints, nil)
			}
			return looker.Transport().RoundTrip(req)
		})
		ctx := context.WithValue(t.Context(), key{}, "value")
		ctx = httptrace.WithClientTrace(ctx, trace)
		user := newCache(t, looker, withTransport(base)).User("789")
		if _, err := user.TokenContext(ctx); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(values, []any{"value", "value"}) || len(informed) != 0 {
			t.Errorf("the calls had the values %v, and informed %s", values,
				strings.Join(informed, ", "))
		}
	})
}
