// Package integration has nothing but tests: of lookerauth with the real packages that people use
// it with, against a fake Looker. Each file is about one of them, and shows how the two are put
// together. alternatives_test.go shows what the official SDK does without lookerauth,
// connslimit_test.go what limited connections do, and nginx_test.go what a gateway does to paths;
// that starts a real nginx. cookies_test.go is of an http.Client's Jar, clocks_test.go of fake
// clocks, warmup_test.go of users who are logged in before they come. front_test.go has a server
// with endpoints that the fake has not. fake_users_test.go is of the fake itself.
//
// It is a module of its own, so that none of these packages becomes a dependency of lookerauth.
package integration
