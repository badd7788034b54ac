package main

// programs are small ones with the modules that have a package to import, by the module's path.
var programs = map[string]string{
	root: `package main

import (
	"log"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func main() {
	looker, err := lookertest.Start()
	if err != nil {
		log.Fatal(err)
	}
	cache, err := lookerauth.New(looker.Config())
	if err != nil {
		log.Fatal(err)
	}
	log.Print(cache.User("789").Token())
}
`,
	root + "/filestore": `package main

import (
	"log"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/filestore"
)

func main() {
	store, err := filestore.Open("tokens")
	if err != nil {
		log.Fatal(err)
	}
	log.Print(lookerauth.Config{Store: store, StoreKeys: store.Keys()})
}
`,
	root + "/lookerotel": `package main

import (
	"log"

	"go.opentelemetry.io/otel"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookerotel"
)

func main() {
	cache, err := lookerauth.New(lookerauth.Config{})
	if err != nil {
		log.Fatal(err)
	}
	log.Print(lookerotel.Register(cache, otel.GetMeterProvider()))
}
`,
	root + "/redisstore": `package main

import (
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/redisstore"
)

func main() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	log.Print(lookerauth.Config{Store: redisstore.New(client)})
}
`,
}
