package lookertest_test

import (
	"context"
	"fmt"
	"io"
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
