module github.com/lookerauth/lookerauth

go 1.26.0

require (
	github.com/benbjohnson/clock v1.3.5
	github.com/hashicorp/golang-lru/v2 v2.0.7
	golang.org/x/oauth2 v0.37.0
	golang.org/x/sync v0.24.0
)

require go.uber.org/goleak v1.3.0
