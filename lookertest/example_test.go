package lookertest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// A test with a fake clock sees a token reused for as long as it lives, and replaced once it has
// expired.
func Example() {
	now := clock.NewMock()
	looker, err := lookertest.Start(lookertest.WithClock(now))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer looker.Close()

	cache, err := lookerauth.New(looker.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close(context.Background())
	client := cache.User("789").Client()
	for range 3 {
		resp, err := client.Get(looker.URL + "/api/4.0/looks/1")
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Print(resp.Status, " ", string(body))
		now.Add(45 * time.Minute)
	}
	fmt.Println("logins as 789:", looker.Count(lookertest.OpLoginUser, "789"))
	// Output:
	// 200 OK {"body":"","method":"GET","path":"/looks/1","user_id":"789"}
	// 200 OK {"body":"","method":"GET","path":"/looks/1","user_id":"789"}
	// 200 OK {"body":"","method":"GET","path":"/looks/1","user_id":"789"}
	// logins as 789: 2
}

// startBoth starts a Server, and makes a Cache that logs in to it.
func startBoth() (*lookertest.Server, *lookerauth.Cache) {
	looker, err := lookertest.Start()
	if err != nil {
		panic(err)
	}
	cache, err := lookerauth.New(looker.Config())
	if err != nil {
		panic(err)
	}
	return looker, cache
}

// A login meets what a bad day has: a connection that breaks, and an answer of the network's.
func ExampleServer_FailNext() {
	looker, cache := startBoth()
	defer looker.Close()
	defer cache.Close(context.Background())

	html := lookertest.Fault{Status: http.StatusBadGateway, Body: "<html>Bad gateway</html>"}
	looker.FailNext(lookertest.OpLoginUser, lookertest.Fault{Drop: true}, html)
	_, err := cache.User("789").Token()

	fmt.Println(err, looker.Count(lookertest.OpLoginUser, "789"))
	// Output: <nil> 3
}

// One user may not log in, again and again.
func ExampleServer_FailFunc() {
	looker, cache := startBoth()
	defer looker.Close()
	defer cache.Close(context.Background())

	looker.FailFunc(func(r lookertest.Request) lookertest.Fault {
		if r.Op == lookertest.OpLoginUser && r.UserID == "790" {
			return lookertest.Fault{Status: http.StatusForbidden}
		}
		return lookertest.Fault{}
	})
	_, err := cache.User("789").Token()
	fmt.Println(err)
	_, err = cache.User("790").Token()
	fmt.Println(errors.Is(err, lookerauth.ErrForbidden))
	// Output:
	// <nil>
	// true
}

// A handler answers what a program calls, and is told who calls.
func ExampleServer_HandleFunc() {
	looker, cache := startBoth()
	defer looker.Close()
	defer cache.Close(context.Background())

	looker.SetUsers(lookertest.User{ID: "789", FirstName: "Ann"})
	looker.HandleFunc("GET /looks/{id}", func(w http.ResponseWriter, r *http.Request) {
		var caller lookertest.User = lookertest.UserOf(r)
		title := fmt.Sprintf("Look %s of %s", r.PathValue("id"), caller.FirstName)
		lookertest.JSON(w, http.StatusOK, map[string]string{"title": title})
	})

	resp, err := cache.User("789").Client().Get(looker.URL + "/api/4.0/looks/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Print(string(body))
	// Output: {"title":"Look 7 of Ann"}
}

func ExampleServer_Requests() {
	looker, cache := startBoth()
	defer looker.Close()
	defer cache.Close(context.Background())

	resp, err := cache.User("789").Client().Get(looker.URL + "/api/4.0/looks?limit=5")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	for _, r := range looker.Requests() {
		fmt.Printf("%s %s?%s as user %s\n", r.Method, r.Path, r.Query.Encode(), r.UserID)
	}
	// Output:
	// POST /login? as user 1
	// POST /login/789? as user 789
	// GET /looks?limit=5 as user 789
}
