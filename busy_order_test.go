package lookerauth_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// Its token ages while they wait, and is replaced before that ends.
func TestServiceAccountIsBeforeTheUsersWhoAreQueued(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(1))
		accessToken(t, cache.ServiceAccount())
		time.Sleep(54 * time.Minute)
		failing(looker, lookertest.OpLoginUser, delayed(time.Second))
		before := len(looker.Requests())
		together(400, func(i int) { accessToken(t, cache.User(nthUser(i))) })
		isLogin := func(r lookertest.Request) bool { return r.Op == lookertest.OpLogin }
		requests := looker.Requests()[before:]
		if at := slices.IndexFunc(requests, isLogin); at < 1 || at > 130 {
			t.Errorf("it was number %d of %d", at, len(requests))
		}
	})
}

// One from when it came into the queue may have been replaced.
func TestLoginUsesTheServiceAccountsTokenOfItsTurn(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		used := make(map[string]string) // by the path's last part
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			user := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
			used[user] = req.Header.Get("Authorization")
			return looker.Transport().RoundTrip(req)
		})
		cache := newCache(t, looker, maxConcurrentLogins(1), withTransport(base))
		old := accessToken(t, cache.ServiceAccount())
		slowLogins(looker)
		first := tokenInBackground(cache.User("1"))
		synctest.Wait()
		second := tokenInBackground(cache.User("2"))
		synctest.Wait()
		invalidate(t, cache.ServiceAccount())
		now := accessToken(t, cache.ServiceAccount())
		checkError(t, <-first, nil)
		checkError(t, <-second, nil)
		if used["1"] != "token "+old || used["2"] != "token "+now || now == old {
			t.Errorf("used %v", used)
		}
	})
}

func TestRefreshesAreInTheOrderInWhichTheirTokensEnd(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker, maxConcurrentLogins(1))
		var want []string
		for i := range 10 {
			accessToken(t, cache.User(nthUser(i)))
			want = append(want, nthUser(i))
			time.Sleep(time.Second)
		}
		time.Sleep(58 * time.Minute)
		accessToken(t, cache.ServiceAccount())
		synctest.Wait()
		failing(looker, lookertest.OpLoginUser, delayed(slowLogin))
		before := len(looker.Requests())
		busy := tokenInBackground(cache.User("busy"))
		synctest.Wait()
		for _, i := range []int{7, 2, 9, 0, 4, 1, 8, 3, 6, 5} {
			accessToken(t, cache.User(nthUser(i)))
			synctest.Wait()
		}
		checkError(t, <-busy, nil)
		time.Sleep(11 * slowLogin)
		var got []string
		for _, r := range looker.Requests()[before:] {
			if r.Op == lookertest.OpLoginUser && r.UserID != "busy" {
				got = append(got, r.UserID)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
