package lookerauth_test

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

var (
	faultSeed = flag.Uint64("faults.seed", 0, "seed of the fault suite; 0 for a new one")
	faultTime = flag.Duration("faults.time", 2*time.Minute, "the fault suite's simulated time")
)

const (
	faultUsers   = 60
	faultWorkers = 16
	faultLife    = 60 * time.Second
	// A token of 60 s is usable for 54 s. It ages from some moment on, of the first fifth of the
	// last 15 s of that.
	faultFresh  = 39 * time.Second
	faultUsable = 54 * time.Second
)

// TestFaults has workers send requests through a bad day of Looker's, and checks what must hold on
// any day.
func TestFaults(t *testing.T) {
	seed := *faultSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test -run TestFaults -faults.seed=%d -faults.time=%v .", seed, *faultTime)
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetTokenLife(faultLife)
		day := &badDay{
			looker:     looker,
			random:     rand.New(rand.NewPCG(seed, 0)),
			identities: make(map[string]*tracked),
		}
		looker.FailFunc(day.fault)
		cache := newCache(t, looker,
			maxUsers(faultUsers*3/4), loginTimeout(5*time.Second), withLog(handlerFunc(day.note)))
		together(faultWorkers, func(int) { day.work(t, cache) })
		synctest.Wait() // what is under way waits for time to pass: no answer is lost on the wire
		closeCache(t, cache)
		checkNoneAlive(t, looker)
		day.check(t, cache.Stats())
	})
}

// badDay makes faults, and keeps account of what happens.
type badDay struct {
	looker *lookertest.Server

	mu          sync.Mutex // guards what is below
	random      *rand.Rand
	identities  map[string]*tracked
	requests    int
	failed      int // requests that got no answer from Looker, or a 401
	revocations int

	// ideal is the number of logins that a perfect cache would need, which loses the same tokens to
	// revocation, eviction and Logout.
	ideal int
}

// tracked is what is known of one identity.
type tracked struct {
	since     time.Time // the last change of whether there is a token
	usable    time.Time // until when the token, if there is one, is usable
	idealNext time.Time // a perfect cache needs no login before this
}

func (d *badDay) chance(percent int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(100) < percent
}

func (d *badDay) intN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

// fault makes three of ten logins fail, and others slow.
func (d *badDay) fault(call lookertest.Request) lookertest.Fault {
	if call.Op != lookertest.OpLogin && call.Op != lookertest.OpLoginUser {
		return lookertest.Fault{}
	}
	if !d.chance(30) {
		// In nanoseconds, so that no login succeeds at the very moment at which it is given up.
		return lookertest.Fault{Delay: time.Duration(d.intN(int(300 * time.Millisecond)))}
	}
	return []lookertest.Fault{
		{Status: http.StatusServiceUnavailable},
		{Status: http.StatusServiceUnavailable},
		{Status: http.StatusBadGateway, Body: "<html>Bad gateway</html>"},
		{Status: http.StatusInternalServerError, Delay: time.Second},
		{Drop: true},
		{Drop: true},
		{Delay: time.Hour},
		{Body: `{"access_token":"truncated`},
		{Body: "\x00garbage"},
		{Status: http.StatusOK, Body: "<html>Please sign in</html>"},
		{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}},
	}[d.intN(11)]
}

// work is one worker.
func (d *badDay) work(t *testing.T, cache *lookerauth.Cache) {
	client := &http.Client{Transport: cache.Transport(nil)}
	for end := time.Now().Add(*faultTime); time.Now().Before(end); {
		// A third of the users get most of the requests.
		n := d.intN(faultUsers)
		if d.chance(70) {
			n %= faultUsers / 3
		}
		userID := nthUser(n)
		switch event := d.intN(4000); {
		case event == 0:
			d.revoke(lookertest.ServiceAccountID)
		case event < 10:
			d.revoke(userID)
		case event < 20:
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_ = cache.User(userID).Logout(ctx)
			cancel()
		}
		deadline := time.Millisecond << d.intN(12) // 1 ms to 2 s
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		d.request(t, ctx, client, userID)
		cancel()
		time.Sleep(time.Duration(d.intN(200)) * time.Millisecond)
	}
}

func (d *badDay) revoke(userID string) {
	n := d.looker.Revoke(userID)
	d.mu.Lock()
	defer d.mu.Unlock()
	if n > 0 {
		d.revocations++
	}
}

// request sends a request, and checks its answer.
func (d *badDay) request(t *testing.T, ctx context.Context, client *http.Client, userID string) {
	start := time.Now()
	d.used(userID, start)
	ctx = lookerauth.WithUser(ctx, userID)
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, d.looker.URL+looks, nil)
	resp, err := client.Do(req)
	if err != nil {
		if d.hadToken(userID, start) {
			t.Errorf("at %v user %s has a usable token, but the request failed: %v",
				time.Now(), userID, err)
		}
		return
	}
	defer resp.Body.Close()
	var a answer
	_ = json.NewDecoder(resp.Body).Decode(&a)
	if resp.StatusCode == http.StatusUnauthorized {
		d.mu.Lock()
		d.failed++
		d.mu.Unlock()
		return // revoked twice within 10 seconds, or the login after it failed
	}
	if a.UserID != userID {
		t.Errorf("a request of user %s was answered %s as user %q", userID, resp.Status, a.UserID)
	}
}

// used counts what a perfect cache would need for a request now: a login whenever the last one's
// token is not fresh, or gone.
func (d *badDay) used(userID string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests++
	d.idealLogin(userID, now)
}

// idealLogin counts the login of an identity if it needs one, and that of the service account for
// it. mu is held.
func (d *badDay) idealLogin(userID string, now time.Time) {
	identity := d.identity(userID)
	if now.Before(identity.idealNext) {
		return
	}
	identity.idealNext = now.Add(faultFresh)
	d.ideal++
	if userID != lookertest.ServiceAccountID {
		d.idealLogin(lookertest.ServiceAccountID, now)
	}
}

// identity is what is known of it. mu is held.
func (d *badDay) identity(userID string) *tracked {
	if d.identities[userID] == nil {
		d.identities[userID] = &tracked{}
	}
	return d.identities[userID]
}

// hadToken reports whether the identity had one token that was usable from start until now, and
// counts the request as failed.
func (d *badDay) hadToken(userID string, start time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed++
	identity := d.identity(userID)
	return identity.since.Before(start) && time.Now().Before(identity.usable)
}

// check compares the number of logins with what was to be expected.
func (d *badDay) check(t *testing.T, stats lookerauth.Stats) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.Logf("%d requests, %d of them failed; %d logins for an ideal of %d; %d revocations; %+v",
		d.requests, d.failed, stats.Logins, d.ideal, d.revocations, stats)
	if limit := 1.1 * float64(d.ideal); float64(stats.Logins) > limit {
		t.Errorf("%d logins, want %.0f at most", stats.Logins, limit)
	}
	if stats.Rejections > uint64(d.revocations) {
		t.Errorf("%d current tokens were rejected, but only %d revoked",
			stats.Rejections, d.revocations)
	}
	// The service account's login may well be answered by something else than Looker a few times in
	// a row, which holds all users down for half a minute each time.
	if d.failed == 0 || d.failed > d.requests*9/10 {
		t.Errorf("%d of %d requests failed: no faults to learn from", d.failed, d.requests)
	}
}

// note keeps account of an event of the Cache: these tell when an identity's token comes and goes.
func (d *badDay) note(_ context.Context, event slog.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	userID := lookertest.ServiceAccountID
	event.Attrs(func(attr slog.Attr) bool {
		who, ok := attr.Value.Any().(lookerauth.Identity)
		if ok && who != lookerauth.ServiceAccount() {
			userID = strings.TrimPrefix(who.String(), "user:")
		}
		return true
	})
	identity := d.identity(userID)
	switch strings.TrimPrefix(event.Message, "lookerauth: ") {
	case "logged in", "token refreshed":
		// It takes up to 300 ms until the answer comes, and the life counts from before.
		identity.since = time.Now()
		identity.usable = identity.since.Add(faultUsable - 300*time.Millisecond)
	case "token rejected", "user evicted", "token discarded", "logged out":
		*identity = tracked{since: time.Now()}
	}
}
