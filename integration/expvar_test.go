package integration

import (
	"bytes"
	"encoding/json"
	"expvar"
	"fmt"
	"log"
	"net/http"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// What expvar publishes is at /debug/vars of http.DefaultServeMux.
func Example_expvar() {
	fake, err := lookertest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer fake.Close()
	cache, err := lookerauth.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}

	expvar.Publish("lookerauth", expvar.Func(func() any { return cache.Stats() }))

	resp, err := cache.User("789").Client().Get(fake.URL + "/api/4.0/user")
	if err != nil || resp.StatusCode != http.StatusOK {
		log.Fatal(resp, err)
	}
	resp.Body.Close()
	var indented bytes.Buffer
	published := expvar.Get("lookerauth").String()
	if err := json.Indent(&indented, []byte(published), "", "  "); err != nil {
		log.Fatal(err)
	}
	fmt.Println(indented.String())
	// Output:
	// {
	//   "Users": 1,
	//   "Logins": 2,
	//   "FailedLogins": 0,
	//   "SharedLogins": 0,
	//   "Refreshes": 0,
	//   "Rejections": 0,
	//   "Replays": 0,
	//   "Evictions": 0,
	//   "Logouts": 0,
	//   "StoreHits": 0,
	//   "StoreErrors": 0
	// }
}
