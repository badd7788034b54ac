package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/looker-open-source/sdk-codegen/go/rtl"
	v4 "github.com/looker-open-source/sdk-codegen/go/sdk/v4"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/lookerauth/lookerauth"
)

// contestant is a way to send requests to Looker as the service account, which is all that each of
// them can act as.
type contestant struct {
	name string

	// start returns a function that asks Looker who it acts as. Its error says what was answered if
	// not that. stop ends what start began.
	start func(cfg lookerauth.Config) (send func() error, stop func(), err error)
}

// contestants all use the Config's Transport, so that they have the same connections.
var contestants = []contestant{
	{"lookerauth", startLookerauth},
	{"golang.org/x/oauth2", startOAuth2},
	{"official Looker Go SDK", startSDK},
}

func startLookerauth(cfg lookerauth.Config) (send func() error, stop func(), err error) {
	cache, err := lookerauth.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	stop = func() { _ = cache.Close(context.Background()) }
	return getUser(cache.ServiceAccount().Client(), cfg), stop, nil
}

// startOAuth2 does what its documentation tells users with a client id and a client secret to do.
// Looker wants both in the body, where AuthStyleInParams puts them.
func startOAuth2(cfg lookerauth.Config) (send func() error, stop func(), err error) {
	config := clientcredentials.Config{
		ClientID:     cfg.ClientID,
		ClientSecret: cfg.ClientSecret,
		TokenURL:     cfg.BaseURL + "/api/4.0/login",
		AuthStyle:    oauth2.AuthStyleInParams,
	}
	client := &http.Client{Transport: cfg.Transport}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, client)
	return getUser(config.Client(ctx), cfg), func() {}, nil
}

// startSDK uses the SDK as its own examples do. It has x/oauth2 inside.
func startSDK(cfg lookerauth.Config) (send func() error, stop func(), err error) {
	settings := rtl.ApiSettings{
		BaseUrl:      cfg.BaseURL,
		ApiVersion:   "4.0",
		ClientId:     cfg.ClientID,
		ClientSecret: cfg.ClientSecret,
		VerifySsl:    true,
	}
	looker := v4.NewLookerSDK(rtl.NewAuthSessionWithTransport(settings, cfg.Transport))
	send = func() error {
		me, err := looker.Me("", nil)
		if err == nil && me.Id == nil {
			return errors.New("answered nobody")
		}
		return err
	}
	return send, func() {}, nil
}

// getUser returns a send for what has an http.Client.
func getUser(client *http.Client, cfg lookerauth.Config) (send func() error) {
	return func() error {
		resp, err := client.Get(cfg.BaseURL + "/api/4.0/user")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s", resp.Status)
		}
		return nil
	}
}
