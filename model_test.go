package lookerauth_test

import (
	"errors"
	"flag"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// model says in a few lines what one identity's token source must answer. Times are since the
// start.
type model struct {
	now      time.Duration
	held     bool          // whether there is a token
	sent     time.Duration // when its login was
	calls    int           // of login_user
	broken   bool          // whether they fail
	failures int           // in a row
	heldDown time.Duration // until then
	closed   bool
}

const (
	modelLife   = 1000 * time.Second
	modelUsable = 990 * time.Second
	modelFresh  = 740 * time.Second // surely fresh before: RefreshBefore is a quarter of the life
	modelAged   = 790 * time.Second // surely aging after
)

// ask says whether a caller gets a token, when that was issued, and what becomes of the identity.
func (m *model) ask() (sent time.Duration, ok bool) {
	if m.closed {
		return 0, false
	}
	age := m.now - m.sent
	if !m.held || age >= modelUsable {
		m.held = false
		m.login()
		return m.sent, m.held
	}
	served := m.sent
	if age >= modelAged {
		m.login() // in the background
	}
	return served, true
}

func (m *model) login() {
	if m.now < m.heldDown {
		return
	}
	m.calls++
	if m.broken {
		m.failures++
		m.heldDown = m.now + min(time.Second<<(m.failures-1), 30*time.Second)
		return
	}
	m.held, m.sent, m.failures = true, m.now, 0
}

var modelSeed = flag.Uint64("model.seed", 0, "seed of the model's first run; 0 for a new one")

func TestTokenSourceBehavesAsItsModel(t *testing.T) {
	first := *modelSeed
	if first == 0 {
		first = rand.Uint64()
	}
	for _, kind := range userKinds {
		t.Run(kind.name, func(t *testing.T) {
			for i := range uint64(200) {
				compareKindWithModel(t, kind, first+i)
				if t.Failed() {
					return
				}
			}
		})
	}
}

func compareKindWithModel(t *testing.T, kind userKind, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		looker := lookertest.New(t, lookertest.InMemory())
		looker.SetTokenLife(modelLife)
		kind.setUsers(looker, "789", "another")
		cache := newCache(t, looker, maxUsers(1), kind.option(looker))
		random := rand.New(rand.NewPCG(seed, 0))
		steps := compareWithModel(t, random, looker, cache, kind)
		if t.Failed() {
			t.Logf("go test -run %s -model.seed=%d .\n%v", t.Name(), seed, steps)
		}
	})
}

var modelSteps = []string{
	"ask", "ask", "ask", "time passes", "hold-down passes", "age", "break", "mend", "reject",
	"evict", "log out", "close",
}

// compareWithModel takes random steps, and compares each answer with the model's. It returns the
// steps.
func compareWithModel(
	t *testing.T, random *rand.Rand, looker *lookertest.Server, cache *lookerauth.Cache,
	kind userKind,
) (steps []string) {
	start := time.Now()
	user := cache.As(kind.who("789"))
	m := &model{}
	for range 60 {
		step := modelSteps[random.IntN(len(modelSteps))]
		if step == "close" && random.IntN(10) > 0 {
			continue
		}
		steps = append(steps, step)
		switch step {
		case "ask":
			token, err := user.Token()
			synctest.Wait()
			sent, ok := m.ask()
			if ok != (err == nil) || ok && !token.Expiry.Equal(start.Add(sent+modelLife)) ||
				m.closed && !errors.Is(err, lookerauth.ErrClosed) {
				t.Errorf("at %v: got %v, %v; the model's token: %v, issued at %v",
					m.now, token, err, ok, sent)
				return steps
			}
			if n := looker.Count(lookertest.OpLoginUser, "789"); n != m.calls {
				t.Errorf("at %v: %d calls of login_user, the model's %d", m.now, n, m.calls)
				return steps
			}
		case "time passes":
			time.Sleep(time.Duration(random.IntN(600)) * time.Second)
		case "hold-down passes":
			time.Sleep(time.Second << random.IntN(6))
		case "age":
			time.Sleep(modelAged)
		case "break":
			// A failure that is neither tried again nor permanent.
			failing(looker, lookertest.OpLoginUser, answered(http.StatusTeapot))
			m.broken = true
		case "mend":
			healthy(looker)
			m.broken = false
		case "reject":
			if m.held && m.now-m.sent < modelFresh && !m.closed {
				invalidate(t, user)
				m.held = false
			}
		case "evict":
			if _, err := cache.As(kind.who("another")).Token(); err == nil {
				m.held = false
			}
			synctest.Wait()
		case "log out":
			if err := user.Logout(t.Context()); m.closed != (err != nil) {
				t.Errorf("logout: %v", err)
			}
			m.held = false
			if !m.closed {
				m.failures, m.heldDown = 0, 0
			}
		case "close":
			if err := cache.Close(t.Context()); err != nil {
				t.Errorf("close: %v", err)
			}
			m.closed, m.held = true, false
		}
		// The moment at which a token starts to age is random: it is passed over.
		if age := time.Since(start) - m.sent; m.held && age >= modelFresh && age < modelAged {
			time.Sleep(modelAged - age)
		}
		m.now = time.Since(start)
	}
	return steps
}
