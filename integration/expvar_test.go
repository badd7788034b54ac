package integration

import (
	"bytes"
	"encoding/json"
	"expvar"
	"fmt"
	"log"
	"net/http"
	"regexp"

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
	loginTime := regexp.MustCompile(`"LoginTime":\d+`) // nanoseconds, others each time
	published = loginTime.ReplaceAllString(published, `"LoginTime":0`)
	if err := json.Indent(&indented, []byte(published), "", "  "); err != nil {
		log.Fatal(err)
	}
	fmt.Println(indented.String())
	// Output:
	// {
	//   "Users": 1,
	//   "MaxUsers": 10000,
	//   "LoginsInFlight": 0,
	//   "LoginsQueued": 0,
	//   "Logins": 2,
	//   "ServiceAccount": {
	//     "Granted": 1,
	//     "Refreshed": 0,
	//     "Failed": {
	//       "Refused": 0,
	//       "NotFound": 0,
	//       "RateLimited": 0,
	//       "Unavailable": 0,
	//       "Other": 0
	//     },
	//     "RefreshFailed": {
	//       "Refused": 0,
	//       "NotFound": 0,
	//       "RateLimited": 0,
	//       "Unavailable": 0,
	//       "Other": 0
	//     }
	//   },
	//   "UserLogins": {
	//     "Granted": 1,
	//     "Refreshed": 0,
	//     "Failed": {
	//       "Refused": 0,
	//       "NotFound": 0,
	//       "RateLimited": 0,
	//       "Unavailable": 0,
	//       "Other": 0
	//     },
	//     "RefreshFailed": {
	//       "Refused": 0,
	//       "NotFound": 0,
	//       "RateLimited": 0,
	//       "Unavailable": 0,
	//       "Other": 0
	//     }
	//   },
	//   "LoginTime": 0,
	//   "WaitsServed": 1,
	//   "WaitsFailed": 0,
	//   "WaitsLeft": 0,
	//   "Joins": 0,
	//   "Rejections": 0,
	//   "Replays": 0,
	//   "Evictions": 0,
	//   "LiveEvictions": 0,
	//   "Logouts": 0,
	//   "FailedLogouts": 0,
	//   "StoreHits": 0,
	//   "StoreErrors": 0,
	//   "StoreUnopened": 0,
	//   "StoreAhead": 0,
	//   "StoreLeftAlone": false
	// }
}
