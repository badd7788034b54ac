package lookerauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/errgroup"
)

// Cache holds the token of a service account, and one for each user it acts as: those of the MaxUsers users that were used
// last. Make one with New for each API key, share it, and Close it at the end: the zero value is of no use. It is safe for
// concurrent use.
type Cache struct {
	clock         Clock
	logger        *slog.Logger // nil: nothing is logged
	refreshBefore time.Duration
	loginTimeout  time.Duration
	maxUsers      int
	maxCalls      int // in flight at once
	afterLogin    func(ctx context.Context, userID string, client *http.Client) error
	transport     http.RoundTripper // for requests, where no other base is given
	origin        origin            // where tokens may go
	api           *api
	flights       *flights
	shared        *sharedTokens // nil: this process alone
	service       *TokenSource
	logoutContext context.Context // of background logouts
	cancelLogouts context.CancelFunc

	// added counts the users that were taken into the LRU. It is the clock by which recency is measured, as only a user who
	// comes in can push another one out.
	added atomic.Uint64

	// What is above is hardly ever written; each look-up writes to mu, which must not take what is above out of the
	// caches of the other cores.
	_ [64]byte

	mu           sync.RWMutex                   // held for look-ups only; guards what is below, and the fields of tokens that say so
	users        *simplelru.LRU[string, *token] // by user id; usable or to be replaced
	serviceToken *token                         // likewise; nil if there is none

	stats      counters
	background sync.WaitGroup // logouts that nobody waits for, calls of the Store; none is added once all flights have landed
}

// New makes a Cache. It makes no call and does not block. The error names every bad field of cfg.
func New(cfg Config) (*Cache, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	users, err := simplelru.NewLRU[string, *token](cfg.MaxUsers, nil)
	if err != nil {
		return nil, fmt.Errorf("lookerauth: MaxUsers: %w", err)
	}
	c := &Cache{
		clock:         cfg.Clock,
		logger:        cfg.Logger,
		refreshBefore: cfg.RefreshBefore,
		loginTimeout:  cfg.LoginTimeout,
		maxUsers:      cfg.MaxUsers,
		maxCalls:      cfg.MaxConcurrentLogins,
		afterLogin:    cfg.AfterLogin,
		transport:     cfg.Transport,
		origin:        newOrigin(cfg.BaseURL),
		api:           newAPI(cfg),
		users:         users,
	}
	c.service = &TokenSource{cache: c}
	c.shared = newSharedTokens(cfg, c)
	c.flights = newFlights(cfg, c)
	c.logoutContext, c.cancelLogouts = context.WithCancel(context.Background())
	return c, nil
}

// ServiceAccount returns the TokenSource of the API key's own identity. It makes no call and does not block.
func (c *Cache) ServiceAccount() *TokenSource { return c.service }

// User returns a TokenSource that acts as the user with this id, through the service account. It makes no call and does not
// block. An id that cannot be one makes every call of the TokenSource fail with ErrInvalidUserID.
func (c *Cache) User(userID string) *TokenSource {
	c.mu.RLock()
	t, ok := c.users.Peek(userID)
	c.mu.RUnlock()
	if ok {
		return &t.source
	}
	return &TokenSource{cache: c, userID: strings.Clone(userID)} // which may be a piece of something large
}

// Stats says what a Cache holds now, and counts what it did since it was made.
type Stats struct {
	Users        int    // users whose token is kept
	Logins       uint64 // successful logins, of the service account and of users
	FailedLogins uint64 // logins that failed after all their tries
	SharedLogins uint64 // callers that waited for a login which another caller had started
	Refreshes    uint64 // successful logins that replaced a token in the background, before it expired; Logins counts them, too
	Rejections   uint64 // tokens dropped because Looker answered 401 to them, or through Invalidate
	Replays      uint64 // requests sent a second time after a 401
	Evictions    uint64 // users pushed out by more recent ones
	Logouts      uint64 // tokens killed at Looker
	StoreHits    uint64 // tokens taken from the Store, each of which saved a login
	StoreErrors  uint64 // operations of the Store that failed or took too long, and locks that were not had in time
}

// counters are the counts of Stats that do not come from elsewhere.
type counters struct {
	logins, failedLogins, refreshes, rejections, replays, evictions, logouts atomic.Uint64
}

// Stats returns the current figures. Each is exact; together they are no snapshot, as the Cache goes on. It does not block.
func (c *Cache) Stats() Stats {
	c.mu.RLock()
	users := c.users.Len()
	c.mu.RUnlock()
	stats := Stats{
		Users:        users,
		Logins:       c.stats.logins.Load(),
		FailedLogins: c.stats.failedLogins.Load(),
		SharedLogins: c.flights.joined.Load(),
		Refreshes:    c.stats.refreshes.Load(),
		Rejections:   c.stats.rejections.Load(),
		Replays:      c.stats.replays.Load(),
		Evictions:    c.stats.evictions.Load(),
		Logouts:      c.stats.logouts.Load(),
	}
	if c.shared != nil {
		stats.StoreHits, stats.StoreErrors = c.shared.hits.Load(), c.shared.failures.Load()
	}
	return stats
}

// isRecent reports whether t's identity is as good as at the front of the LRU. Moving it there takes a lock that excludes all
// others, so it is done again only after a sixteenth of the cache has been replaced. Two users are therefore in the wrong
// order only if fewer than MaxUsers/16 others, rounded up, were taken in between their last uses.
func (c *Cache) isRecent(t *token) bool {
	return c.added.Load()-t.touched.Load() <= uint64(c.maxUsers-1)/16
}

// current returns the token of s's identity, moves it to the front of the LRU, and keeps it in s. It is nil if there is none
// that may be served.
func (c *Cache) current(s *TokenSource) *token {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.kept(s)
	if t == nil || t.retired() { // rejected, and not yet replaced
		return nil
	}
	t.touched.Store(c.added.Load())
	s.held.Store(t)
	return t
}

// last returns the token of s's identity, be it aging, expired or rejected; nil if there is none.
func (c *Cache) last(s *TokenSource) *token {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept(s)
}

// kept returns the token of s's identity, and makes it the most recently used; nil if there is none. mu is held.
func (c *Cache) kept(s *TokenSource) *token {
	if s == c.service {
		return c.serviceToken
	}
	t, _ := c.users.Get(s.userID)
	return t
}

// put makes t the token of s's identity, and evicts the least recently used user if that is one too many. It reports whether t
// may be served: it may not if a login found it here, and it was replaced, evicted or dropped since.
func (c *Cache) put(s *TokenSource, t *token, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.retired() {
		return false
	}
	last := c.kept(s)
	if last != nil && last != t {
		c.succeed(last, t, now)
	}
	if s == c.service {
		c.serviceToken = t
	} else {
		if last == nil {
			c.makeRoom()
			c.added.Add(1)
		}
		c.users.Add(s.userID, t)
	}
	t.touched.Store(c.added.Load())
	s.held.Store(t)
	return true
}

// succeed makes t the successor of last, which was its identity's token until now. mu is held.
func (c *Cache) succeed(last, t *token, now time.Time) {
	t.rejectedAt = last.rejectedAt
	if last.retired() {
		c.release(last, "token discarded") // it may be alive all the same, if it was not to blame for the 401
		return
	}
	last.retire()
	t.predecessor = last
	t.forgetDead(now.UnixNano())
}

// makeRoom evicts a user if the cache is full. mu is held.
func (c *Cache) makeRoom() {
	if c.users.Len() < c.maxUsers {
		return
	}
	_, oldest, _ := c.users.RemoveOldest()
	c.stats.evictions.Add(1)
	c.release(oldest, "user evicted")
}

// drop takes the token out of service if it is the current one of s's identity. It does not if that was minted to replace one
// that was dropped within the interval, as it is not to blame then. It stays where it is until another one replaces it.
func (c *Cache) drop(s *TokenSource, accessToken string, interval time.Duration) {
	now := c.clock.Now().UnixNano()
	if c.dropLocked(s, accessToken, interval, now) {
		c.stats.rejections.Add(1)
		c.log(context.Background(), slog.LevelInfo, "token rejected", slog.String("user_id", s.userID))
	}
}

func (c *Cache) dropLocked(s *TokenSource, accessToken string, interval time.Duration, now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.kept(s)
	if t == nil || t.retired() || t.oauth.AccessToken != accessToken {
		return false
	}
	if t.sent >= t.rejectedAt && uint64(now-t.rejectedAt) < uint64(interval) {
		return false
	}
	t.retire()
	t.rejectedAt = now
	return true
}

// forget removes the identity's token from the cache, and returns it; nil if there is none.
func (c *Cache) forget(s *TokenSource) *token {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.kept(s)
	if t == nil {
		return nil
	}
	if s == c.service {
		c.serviceToken = nil
	} else {
		c.users.Remove(s.userID)
	}
	t.retire()
	return t
}

// release ends the use of a token here. It is logged out unless other processes may use it: then one that was rejected is only
// taken out of the Store, as another one's requests may go well with it.
func (c *Cache) release(t *token, event string) {
	if c.shared == nil {
		c.discard(t, event)
		return
	}
	rejected := t.retired()
	t.retire()
	c.inBackground(t, event, func() error {
		if !rejected {
			return nil
		}
		_, err := c.shared.take(c.logoutContext, t.source.userID, t.isEntry)
		return err
	})
}

// discard kills a token that must not be used, in the background and as well as that goes. event says why.
func (c *Cache) discard(t *token, event string) {
	t.retire()
	c.inBackground(t, event, func() error {
		return c.kill(c.logoutContext, t.source.userID, t, t.isEntry)
	})
}

// inBackground logs the event, and runs f.
func (c *Cache) inBackground(t *token, event string, f func() error) {
	c.background.Add(1)
	protect(func() error {
		defer c.background.Done()
		c.log(c.logoutContext, slog.LevelDebug, event, slog.String("user_id", t.source.userID))
		return f()
	})
}

// kill takes the identity's token out of the Store, if there is one that is to go, and logs it out, and t, and the tokens
// before that which Looker may still accept. t may be nil.
func (c *Cache) kill(ctx context.Context, userID string, t *token, stored func(entry) bool) error {
	headers := c.alive(t, c.clock.Now().UnixNano())
	if c.shared == nil {
		return c.logout(ctx, userID, headers)
	}
	header, err := c.shared.take(ctx, userID, stored)
	if header != "" && !slices.Contains(headers, header) {
		headers = append(headers, header)
	}
	return errors.Join(err, c.logout(ctx, userID, headers))
}

// logout kills the tokens with these Authorization headers.
func (c *Cache) logout(ctx context.Context, userID string, headers []string) error {
	e := effort{until: c.clock.Now().Add(c.loginTimeout), tries: maxTries}
	var errs []error
	for _, header := range headers {
		err := bounded(ctx, c.clock, c.loginTimeout, func(ctx context.Context) error {
			return c.api.logout(ctx, e, userID, header)
		})
		if err != nil {
			err = asLoginError(err, opLogout, userID)
			c.log(ctx, slog.LevelWarn, "logout failed", slog.String("user_id", userID), slog.Any("error", err))
			errs = append(errs, err)
			continue
		}
		c.stats.logouts.Add(1)
		c.log(ctx, slog.LevelDebug, "logged out", slog.String("user_id", userID))
	}
	return errors.Join(errs...)
}

// alive returns the Authorization headers of t and its predecessors that Looker may still accept.
func (c *Cache) alive(t *token, now int64) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var headers []string
	for ; t != nil; t = t.predecessor {
		if !t.dead(now) {
			headers = append(headers, t.header)
		}
	}
	return headers
}

// Close ends the Cache: from now on every call gets ErrClosed. It cancels the logins under way, waits for them and for
// background logouts, and logs every token out, the service account's last; with a Store none, as others may use them. A
// token whose login was cancelled on the wire may stay alive at Looker until it expires, as nobody has learnt of it.
//
// It blocks until all that is done, or until ctx ends; it then returns an error that says how many tokens may be alive. After
// it no goroutine of the Cache is left, if the functions and interfaces in the Config return when their context ends. To
// close again, or meanwhile, does nothing.
func (c *Cache) Close(ctx context.Context) error {
	if !c.flights.close() {
		return nil
	}
	users := c.forgetUsers()
	service := c.forget(c.service)
	err := await(ctx, &c.flights.landed)

	failed := 0
	if c.shared == nil { // or other processes may use the tokens
		failed = c.logoutAll(ctx, users, service)
	}
	// Flights that land late still add to the background, which is why they are waited for first, again.
	if waitErr := await(ctx, &c.flights.landed, &c.background); err == nil {
		err = waitErr
	}
	c.cancelLogouts()
	c.log(ctx, slog.LevelInfo, "closed", slog.Int("users", len(users)), slog.Int("failed", failed))
	if failed > 0 {
		left := fmt.Sprintf("the logout of %d of %d identities failed, their tokens may live until they expire", failed, len(users)+1)
		return fmt.Errorf("lookerauth: close: %s: %w", left, cmp.Or(err, errLogout))
	}
	if err != nil {
		return fmt.Errorf("lookerauth: close: %w", err)
	}
	return nil
}

// errLogout stands for the errors of logouts, each of which was logged.
var errLogout = errors.New("it was refused or not answered")

// logoutAll logs the users out, and then the service account. It returns how many of them that failed for.
func (c *Cache) logoutAll(ctx context.Context, users map[string]*token, service *token) int {
	now := c.clock.Now().UnixNano()
	var failed atomic.Int64
	var group errgroup.Group
	group.SetLimit(c.maxCalls)
	for userID, t := range users {
		group.Go(func() error {
			if c.logout(ctx, userID, c.alive(t, now)) != nil {
				failed.Add(1)
			}
			return nil
		})
	}
	_ = group.Wait() // no function in it fails
	if c.logout(ctx, "", c.alive(service, now)) != nil {
		failed.Add(1)
	}
	return int(failed.Load())
}

// forgetUsers empties the LRU, and returns what was in it.
func (c *Cache) forgetUsers() map[string]*token {
	c.mu.Lock()
	defer c.mu.Unlock()
	tokens := make(map[string]*token, c.users.Len())
	for _, t := range c.users.Values() {
		t.retire()
		tokens[t.source.userID] = t
	}
	c.users.Purge()
	return tokens
}

// loginFailed keeps account of a login that failed, and may not be tried again before holdDown has passed.
func (c *Cache) loginFailed(ctx context.Context, s *TokenSource, err error, holdDown time.Duration) {
	c.stats.failedLogins.Add(1)
	c.log(ctx, slog.LevelWarn, "login failed",
		slog.String("user_id", s.userID), slog.Any("error", err), slog.Duration("hold_down", holdDown))
}

// replayed keeps account of a request that is sent again.
func (c *Cache) replayed(ctx context.Context, s *TokenSource) {
	c.stats.replays.Add(1)
	c.log(ctx, slog.LevelDebug, "request replayed", slog.String("user_id", s.userID))
}

// log writes an event to the Config's Logger. The documentation of the package lists them all. Whatever happens in there stays
// there.
func (c *Cache) log(ctx context.Context, level slog.Level, event string, attrs ...slog.Attr) {
	if c.logger == nil {
		return
	}
	<-protect(func() error {
		c.logger.LogAttrs(ctx, level, "lookerauth: "+event, attrs...)
		return nil
	})
}
