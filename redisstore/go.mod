module github.com/lookerauth/lookerauth/redisstore

// As the root module. Newer versions of what it requires need a newer Go.
go 1.25.2

require (
	github.com/benbjohnson/clock v1.3.5
	github.com/lookerauth/lookerauth v0.1.0
	github.com/redis/go-redis/v9 v9.22.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sync v0.20.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/oauth2 v0.36.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/lookerauth/lookerauth => ../
