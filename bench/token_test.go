package bench

import (
	"context"
	"errors"
	"testing"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth"
)

const userID = "789"

// tokenContestants get one identity's cached token. What open returns does so once.
var tokenContestants = []struct {
	name string
	open func(token string) func() (string, error)
}{
	{"lookerauth", func(string) func() (string, error) {
		source := new(looker).newCache(1).User(userID)
		return func() (string, error) {
			t, err := source.TokenContext(context.Background())
			if err != nil {
				return "", err
			}
			return t.AccessToken, nil
		}
	}},
	// As oauth2.TokenSource wants it: each caller gets a copy of the token.
	{"lookerauth-copy", func(string) func() (string, error) {
		source := new(looker).newCache(1).User(userID)
		return func() (string, error) {
			t, err := source.Token()
			if err != nil {
				return "", err
			}
			return t.AccessToken, nil
		}
	}},
	{"xoauth2", func(token string) func() (string, error) {
		source := newOAuth2(token)
		return func() (string, error) {
			t, err := source.Token()
			if err != nil {
				return "", err
			}
			return t.AccessToken, nil
		}
	}},
	{"aws", func(token string) func() (string, error) {
		cache := newAWS(token)
		return func() (string, error) {
			c, err := cache.Retrieve(context.Background())
			return c.SessionToken, err
		}
	}},
	{"google", func(token string) func() (string, error) {
		provider := newGoogle(token)
		return func() (string, error) {
			t, err := provider.Token(context.Background())
			if err != nil {
				return "", err
			}
			return t.Value, nil
		}
	}},
	{"ghinstallation", func(token string) func() (string, error) {
		transport := newGitHub(nil, token)
		return func() (string, error) { return transport.Token(context.Background()) }
	}},
	// The floor: a token that is kept beside a look at the clock, without which nobody knows that
	// it is good.
	{"clock", func(token string) func() (string, error) {
		return func() (string, error) {
			if timepiece.Now().IsZero() {
				return "", errors.New("the clock does not run")
			}
			return token, nil
		}
	}},
}

// timepiece is read as the library reads its Config's Clock, through the interface: the compiler
// cannot tell what is in here.
var timepiece lookerauth.Clock = clock.New()

func BenchmarkToken(b *testing.B) {
	for _, contestant := range tokenContestants {
		b.Run(contestant.name, func(b *testing.B) {
			want := tokenOf(userID)
			get := contestant.open(want)
			if _, err := get(); err != nil { // the login
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				token, err := want, error(nil) // as they are if this goroutine gets no turn
				for pb.Next() {
					if token, err = get(); err != nil {
						break
					}
				}
				if token != want || err != nil {
					b.Errorf("got the token %q and the error %v", token, err)
				}
			})
		})
	}
}

func TestTokenContestantsGetTheToken(t *testing.T) {
	for _, contestant := range tokenContestants {
		t.Run(contestant.name, func(t *testing.T) {
			want := tokenOf(userID)
			get := contestant.open(want)
			for range 2 { // the login, and the cached token
				if token, err := get(); token != want || err != nil {
					t.Errorf("got the token %q and the error %v, want %q", token, err, want)
				}
			}
		})
	}
}
