module github.com/lookerauth/lookerauth

// The oldest Go with a testing/synctest that works, which the tests need and lookertest offers:
// with 1.25.0 and 1.25.1 tests hang. Of x/oauth2 and x/sync these are the newest versions that do
// not need a newer one. .ci/downstream tests with it.
go 1.25.2

require (
	github.com/benbjohnson/clock v1.3.5
	github.com/hashicorp/golang-lru/v2 v2.0.7
	golang.org/x/oauth2 v0.36.0
	golang.org/x/sync v0.20.0
)

require go.uber.org/goleak v1.3.0
