package main

import (
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
)

// contestant is a way to have tokens of many users.
type contestant struct {
	name string

	// start returns a function that waits for a user's token until ctx ends. stop ends what start
	// began.
	start func(l *looker, s settings, users int) (get getter, stop func(), err error)
}

type getter func(ctx context.Context, user int) error

const ours = "lookerauth"

var contestants = []contestant{
	{ours, startLookerauth},
	{"golang.org/x/oauth2", startOAuth2},
	{"aws-sdk-go-v2", startAWS},
}

// startLookerauth has the defaults but for what says how large Looker and the day are.
func startLookerauth(l *looker, s settings, users int) (get getter, stop func(), err error) {
	cache, err := lookerauth.New(lookerauth.Config{
		BaseURL:             lookerURL,
		ClientID:            "id",
		ClientSecret:        "secret",
		MaxUsers:            users,
		MaxConcurrentLogins: s.Slots,
		Transport:           l,
	})
	if err != nil {
		return nil, nil, err
	}
	sources := make([]*lookerauth.TokenSource, users)
	for user := range users {
		sources[user] = cache.User(strconv.Itoa(user))
	}
	get = func(ctx context.Context, user int) error {
		_, err := sources[user].TokenContext(ctx)
		return err
	}
	return get, func() { _ = cache.Close(context.Background()) }, nil
}

// startOAuth2 has a ReuseTokenSource for each user.
func startOAuth2(l *looker, _ settings, users int) (get getter, stop func(), err error) {
	sources := make(map[int]*oauth2Source)
	for user := range users {
		login := oauth2Login{l, user}
		sources[user] = &oauth2Source{
			turn:   make(chan struct{}, 1),
			tokens: oauth2.ReuseTokenSource(nil, login),
		}
	}
	get = func(ctx context.Context, user int) error { return sources[user].get(ctx) }
	return get, func() {}, nil
}

// oauth2Source lets one caller at a time get the token, in the order of coming, as ReuseTokenSource
// does itself: but virtual time would stand still while somebody waits for its mutex.
type oauth2Source struct {
	turn   chan struct{}
	tokens oauth2.TokenSource
}

// get is Token for a caller who leaves when ctx ends. Token goes on then, as it has no context.
func (s *oauth2Source) get(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if _, err := s.tokens.Token(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// oauth2Login is what a ReuseTokenSource asks for new tokens.
type oauth2Login struct {
	looker *looker
	user   int
}

func (l oauth2Login) Token() (*oauth2.Token, error) {
	err := l.looker.login(context.Background(), l.user)
	return &oauth2.Token{AccessToken: tokenOf(l.user), Expiry: time.Now().Add(tokenLife)}, err
}

// startAWS has a CredentialsCache for each user, with an expiry window as lookerauth's: credentials
// are renewed once their last 5 minutes have begun, at a moment in the first fifth of those.
func startAWS(l *looker, _ settings, users int) (get getter, stop func(), err error) {
	caches := make(map[int]*aws.CredentialsCache)
	for user := range users {
		login := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			err := l.login(ctx, user)
			return aws.Credentials{
				AccessKeyID:     "id",
				SecretAccessKey: "secret",
				SessionToken:    tokenOf(user),
				CanExpire:       true,
				Expires:         time.Now().Add(tokenLife),
			}, err
		})
		caches[user] = aws.NewCredentialsCache(login, func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow, o.ExpiryWindowJitterFrac = 5*time.Minute, 0.2
		})
	}
	get = func(ctx context.Context, user int) error {
		_, err := caches[user].Retrieve(ctx)
		return err
	}
	return get, func() {}, nil
}
