module github.com/lookerauth/lookerauth/filestore

go 1.26.0

require (
	github.com/gofrs/flock v0.13.2
	github.com/lookerauth/lookerauth v0.1.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/benbjohnson/clock v1.3.5 // indirect
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

replace github.com/lookerauth/lookerauth => ../
