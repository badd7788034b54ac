package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"sync"
	"time"

	"cloud.google.com/go/auth"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/bradleyfalzon/ghinstallation/v2"
	"golang.org/x/oauth2"
)

// tokenLife is how long every token lives, the peers' as well as this library's: all must look at
// the clock, and find that there is nothing to do.
const tokenLife = 24 * time.Hour

func tomorrow() time.Time { return time.Now().Add(tokenLife) }

func newOAuth2(token string) oauth2.TokenSource {
	t := &oauth2.Token{AccessToken: token, Expiry: tomorrow()}
	return oauth2.ReuseTokenSource(nil, oauth2.StaticTokenSource(t))
}

func newAWS(token string) *aws.CredentialsCache {
	get := func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID:     "id",
			SecretAccessKey: "secret",
			SessionToken:    token,
			CanExpire:       true,
			Expires:         tomorrow(),
		}, nil
	}
	return aws.NewCredentialsCache(aws.CredentialsProviderFunc(get))
}

// googleTokens provides the token that Google's cache is to keep.
type googleTokens string

func (token googleTokens) Token(context.Context) (*auth.Token, error) {
	return &auth.Token{Value: string(token), Expiry: tomorrow()}, nil
}

func newGoogle(token string) auth.TokenProvider {
	return auth.NewCachedTokenProvider(googleTokens(token), nil)
}

// newGitHub returns a Transport over base whose token comes from a GitHub within this process.
func newGitHub(base http.RoundTripper, token string) *ghinstallation.Transport {
	transport, err := ghinstallation.New(&github{base, token}, 1, 1, githubKey())
	if err != nil {
		panic(err)
	}
	return transport
}

// githubKey is the private key of a GitHub App, with which it asks for tokens.
var githubKey = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der := x509.MarshalPKCS1PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: der})
})

// github answers the call for an installation's token, and leaves all else to its base.
// ghinstallation makes both kinds of request through the same one.
type github struct {
	base  http.RoundTripper
	token string
}

func (g *github) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodPost {
		return g.base.RoundTrip(req)
	}
	answer, err := json.Marshal(map[string]any{"token": g.token, "expires_at": tomorrow()})
	body := io.NopCloser(bytes.NewReader(answer))
	return &http.Response{StatusCode: http.StatusCreated, Body: body}, err
}
