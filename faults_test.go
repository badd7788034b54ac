package lookerauth_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

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
	faultPollers = 2 // users of an endpoint that answers 401 to everybody
	faultConns   = 8 // of the limited base, which half of the workers have, and all logins
	faultLife    = 60 * time.Second
	faultTimeout = 5 * time.Second // of a login
	faultPatient = 20 * time.Second
	// A token of 60 s is usable for 54 s. It ages from some moment on, of the first fifth of the
	// last 15 s of that.
	faultFresh  = 39 * time.Second
	faultUsable = 54 * time.Second
	stepPause   = 10 * time.Second       // at most, between two steps of the clock
	faultDelay  = 300 * time.Millisecond // how slow Looker is at most, while it is well
)

// TestFaults has workers send requests through a bad day of Looker's, of the clock and of the
// callers, and checks what must hold on any day.
func TestFaults(t *testing.T) {
	seed := *faultSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for _, kind := range userKinds {
		t.Run(kind.name, func(t *testing.T) { runBadDay(t, kind, seed) })
	}
}

func runBadDay(t *testing.T, kind userKind, seed uint64) {
	t.Logf("go test -run %s -faults.seed=%d -faults.time=%v .", t.Name(), seed, *faultTime)
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		looker.SetTokenLife(faultLife)
		var userIDs []string
		for i := range faultUsers {
			userIDs = append(userIDs, nthUser(i))
		}
		kind.setUsers(looker, userIDs...)
		day := &badDay{
			t:          t,
			kind:       kind,
			looker:     looker,
			random:     rand.New(rand.NewPCG(seed, 0)),
			identities: make(map[string]*tracked),
		}
		looker.FailFunc(day.fault)
		limited := looker.Transport().(*http.Transport).Clone()
		limited.MaxConnsPerHost = faultConns
		defer limited.CloseIdleConnections()
		cache := newCache(t, looker, maxUsers(faultUsers*3/4), loginTimeout(faultTimeout),
			withTransport(limited), withClock(&day.clock), withLog(handlerFunc(day.note)),
			day.userToken())
		day.run(cache)
		closeCache(t, cache)
		if kind.isElsewhere { // whose tokens Close leaves to expire
			day.checkLogouts()
			time.Sleep(faultLife)
		}
		checkNoneAlive(t, looker)
		day.check(cache.Stats())
	})
}

// badDay makes faults, and keeps account of what happens.
type badDay struct {
	t      *testing.T
	kind   userKind
	looker *lookertest.Server
	clock  steppedClock // the Cache's; Looker's is true

	mu         sync.Mutex // guards what is below
	isOver     bool
	random     *rand.Rand
	identities map[string]*tracked
	counts     dayCounts
	stepped    time.Time // when the clock last was
	hanging    time.Time // until when a login that hangs may keep a connection
}

func (d *badDay) chance(percent int) bool { return d.intN(100) < percent }

func (d *badDay) intN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

// upTo is a random time. It has nanoseconds, so that hardly anything happens at the same moment.
func (d *badDay) upTo(most time.Duration) time.Duration { return time.Duration(d.intN(int(most))) }

// run has all do what they do on this day, until it ends.
func (d *badDay) run(cache *lookerauth.Cache) {
	end := time.Now().Add(*faultTime)
	until := func(end time.Time, f func()) {
		for time.Now().Before(end) {
			f()
		}
	}
	var all sync.WaitGroup
	for i := range faultWorkers {
		w := &worker{day: d, cache: cache, limited: i%2 == 0}
		w.client = &http.Client{Transport: cache.Transport(nil)}
		if !w.limited {
			w.client.Transport = cache.Transport(d.looker.Transport())
		}
		all.Go(func() { until(end, w.work) })
	}
	for i := range faultPollers {
		client := &http.Client{Transport: cache.Transport(nil)}
		all.Go(func() { until(end, func() { d.poll(client, nthUser(i)) }) })
	}
	// The clock is true for a token's life at the end: when it is set forward, the Cache forgets
	// tokens that Looker lets live on.
	all.Go(func() { until(end.Add(-faultLife-stepPause), d.step) })
	all.Wait()
	time.Sleep(longestUpload) // net/http reads the bodies of those who have left

	// What is under way waits for time to pass: no answer is lost on the wire.
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isOver = true
}

// fault makes three of ten logins fail, and others slow. A request says itself how slow it is.
func (d *badDay) fault(call lookertest.Request) lookertest.Fault {
	if call.Path == forbidden {
		return lookertest.Fault{Status: http.StatusUnauthorized}
	}
	if call.Header.Get("User-Agent") == byMint {
		return lookertest.Fault{} // userToken has its own
	}
	if call.Op == lookertest.OpLogout {
		d.loggedOut(call.UserID)
	}
	userID := call.UserID
	lookedUp, isLookUp := strings.CutPrefix(call.Path, "/users/credential/embed/")
	if isLookUp {
		userID = lookedUp
	}
	if call.Op != lookertest.OpLogin && call.Op != lookertest.OpLoginUser && !isLookUp {
		delay, _ := time.ParseDuration(call.Header.Get(delayHeader))
		return lookertest.Fault{Delay: delay}
	}
	if !d.chance(30) {
		return lookertest.Fault{Delay: d.upTo(faultDelay)}
	}
	fault := []lookertest.Fault{
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
	d.faulted(userID, fault)
	return fault
}

// step waits a little, and sets the clock back or forward, by seconds to days.
func (d *badDay) step() {
	time.Sleep(d.upTo(stepPause))
	by := time.Second << d.intN(18)
	by += d.upTo(by)
	if d.chance(50) {
		by = -by
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock.step(by)
	d.stepped = time.Now()
	d.counts.steps++
}

// revoke ends a user's tokens at Looker.
func (d *badDay) revoke(userID string) {
	n := d.looker.Revoke(userID)
	d.mu.Lock()
	defer d.mu.Unlock()
	if n > 0 {
		d.counts.revocations++
		identity := d.identity(userID)
		identity.revoked, identity.ended = time.Now(), time.Now()
	}
}

// logOut ends them by the library.
func (d *badDay) logOut(cache *lookerauth.Cache, userID string) {
	ctx, cancel := context.WithTimeout(d.t.Context(), 10*time.Second)
	defer cancel()
	d.mu.Lock()
	identity := d.identity(userID)
	identity.mayEnd = true
	identity.since, identity.held = time.Now(), false // the logout may wait for a connection
	d.mu.Unlock()
	_ = cache.As(d.kind.who(userID)).Logout(ctx)
}

// userToken is the option with which users' tokens come from elsewhere, if they do: three of ten
// calls fail, and others are slow.
func (d *badDay) userToken() option {
	if !d.kind.isElsewhere {
		return d.kind.option(d.looker)
	}
	return withUserToken(func(
		ctx context.Context, req lookerauth.UserTokenRequest,
	) (*oauth2.Token, error) {
		if !d.chance(30) {
			if err := lasting(d.upTo(faultDelay))(ctx); err != nil {
				return nil, err
			}
			return mint(d.looker, req.UserID)
		}
		fault := lookertest.Fault{Delay: time.Duration(d.intN(2)) * time.Hour}
		d.faulted(req.UserID, fault)
		if err := lasting(fault.Delay)(ctx); err != nil {
			return nil, err
		}
		if d.chance(20) {
			panic("a bad day")
		}
		return []*oauth2.Token{nil, {}, {AccessToken: req.Rejected, ExpiresIn: 60}}[d.intN(3)], nil
	})
}

// checkLogouts checks that Logout alone has ended tokens from elsewhere.
func (d *badDay) checkLogouts() {
	ended := 0
	for i := range faultUsers {
		ended += d.looker.Count(lookertest.OpLogout, nthUser(i))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	logouts := 0
	for userID, identity := range d.identities {
		logouts += identity.logouts
		if identity.logouts > 0 && !identity.mayEnd {
			d.t.Errorf("a token of user %s was logged out, but not by Logout", userID)
		}
	}
	if ended != logouts {
		d.t.Errorf("%d tokens were logged out by Close", ended-logouts)
	}
}
