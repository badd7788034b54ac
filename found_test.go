package lookerauth

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/queue"
	"github.com/lookerauth/lookerauth/internal/token"
)

// endings is an issuer that notes which tokens it is to end.
type endings struct {
	issuer
	mu    sync.Mutex
	ended []*token.Token // guarded by mu
}

func (e *endings) revoke(
	_ context.Context, _ Identity, tokens []*token.Token, _ bool,
) ([]*token.Token, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = append(e.ended, tokens...)
	return tokens, nil
}

func (e *endings) release(ctx context.Context, who Identity, tokens []*token.Token) error {
	_, err := e.revoke(ctx, who, tokens, false)
	return err
}

// A login that finds a token may lose it before its end. Whoever invalidated it sees to what
// becomes of it: others have it, in this process or, through the Store, in other ones.
func TestTokenThatALoginFoundIsNotEndedByIt(t *testing.T) {
	who, now := User("789"), time.Now()
	remove := func(l *lifecycle, _ *token.Token) { l.tokens.Remove(who.key, now.UnixNano()) }
	for name, tt := range map[string]struct {
		lose func(l *lifecycle, found *token.Token)
		lost error
	}{
		"invalidated": {func(l *lifecycle, found *token.Token) {
			l.tokens.Invalidate(who.key, found.OAuth().AccessToken)
		}, nil},
		"evicted":    {remove, nil},
		"logged out": {remove, errAgain},
		"closed":     {remove, closedError()},
	} {
		t.Run(name, func(t *testing.T) {
			ends := &endings{}
			l := &lifecycle{
				tokens:     token.NewLRU(10, time.Minute),
				heldDown:   queue.NewHoldDown[Identity](),
				issuer:     ends,
				clock:      clock.New(),
				timeout:    time.Minute,
				events:     &events{},
				background: &guard.Background{},
				ctx:        t.Context(),
			}
			response := token.Response{AccessToken: "4QDk", Sent: now, Life: time.Hour}
			l.tokens.Put(token.New(who.key, response), now.UnixNano())

			o, err := l.run(t.Context(), who, &outcome{})
			if err != nil || !o.found {
				t.Fatalf("the login found nothing: %+v, %v", o, err)
			}
			tt.lose(l, o.token)
			if _, err := l.keep(who, o, nil, tt.lost); err == nil {
				t.Error("callers get the token")
			}
			if err := guard.Wait(t.Context(), l.background); err != nil {
				t.Fatal(err)
			}
			if len(ends.ended) > 0 {
				t.Errorf("%d tokens were ended", len(ends.ended))
			}
		})
	}
}
