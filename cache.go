package lookerauth

import (
	"context"
	"fmt"
	"time"

	"github.com/lookerauth/lookerauth/internal/guard"
	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/origin"
	"github.com/lookerauth/lookerauth/internal/queue"
	"github.com/lookerauth/lookerauth/internal/seal"
	"github.com/lookerauth/lookerauth/internal/token"
)

// Cache holds the token of a service account, and one for each user it acts as: those of the
// [Config.MaxUsers] users that were used last. Make one with [New] for each API key, share it, and
// [Cache.Close] it at the end: the zero value is of no use. It is safe for concurrent use.
type Cache struct {
	clock     Clock
	tokens    *token.LRU
	lifecycle *lifecycle
	events    *events
	store     *boundedStore // nil if there is none
	sender    sender

	noServiceAccount bool // nor, then, a user who has to be looked up
	livesUnknown     bool // of users' tokens, which come from Config.UserToken
}

// Format writes where the Cache logs in, and no token, whatever the verb.
func (c Cache) Format(f fmt.State, _ rune) { printWithout(f, c) }

// MarshalText returns where the Cache logs in. The error is always nil.
func (c Cache) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "lookerauth.Cache{BaseURL: %q}", c.sender.origin), nil
}

// New makes a [Cache]. It makes no call and does not block. The error names every bad field of cfg.
func New(cfg Config) (*Cache, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	root := cfg.BaseURL + "/api/" + cfg.APIVersion
	client := looker.New(root, !cfg.NonAssociative, cfg.Transport, cfg.Clock.Now, cfg.UserAgent)
	c := &Cache{
		clock:  cfg.Clock,
		tokens: token.NewLRU(cfg.MaxUsers, cfg.RefreshBefore),
		events: newEvents(cfg.Logger),
		sender: sender{origin.New(cfg.BaseURL), cfg.Transport, client},

		noServiceAccount: cfg.APIKey == nil,
		livesUnknown:     cfg.UserToken != nil,
	}
	background := &guard.Background{}
	login := c.newLogin(cfg, background)
	l := &lifecycle{
		tokens:     c.tokens,
		heldDown:   queue.NewHoldDown[Identity](),
		issuer:     login,
		queue:      login.logins.queue,
		clock:      cfg.Clock,
		timeout:    cfg.LoginTimeout,
		maxLogins:  cfg.MaxConcurrentLogins,
		events:     c.events,
		background: background,
		closed:     make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.logins = newGroup[Identity, *outcome](l)
	if cfg.Store != nil {
		c.store = newBoundedStore(
			cfg.Store, cfg.Clock, cfg.LoginTimeout, c.events, background, client.Scrub)
		scope := fmt.Sprintf("%v %s %t", c.sender.origin, cfg.APIVersion, cfg.NonAssociative)
		l.issuer = &fleet{
			login: login,
			records: &records{
				store:  c.store,
				keys:   seal.New(cfg.StoreKeys),
				clock:  cfg.Clock,
				events: c.events,
			},
			names:      &names{login, scope, cfg.Clock, cfg.LoginTimeout},
			clock:      cfg.Clock,
			timeout:    cfg.LoginTimeout,
			background: background,
		}
	}
	c.lifecycle = l
	return c, nil
}

// newLogin makes what gets tokens from Looker, and users' from where the Config says.
func (c *Cache) newLogin(cfg Config, background *guard.Background) *login {
	client, service := c.sender.client, c.tokens.Slot(ServiceAccount().key)
	logins := newCalls(cfg, c.events, background, true)
	l := &login{
		client: client,
		users: &users{
			client:     client,
			calls:      logins,
			background: background,
			clock:      cfg.Clock,
			timeout:    cfg.LoginTimeout,
			held: func() *token.Token {
				return c.current(service, cfg.Clock.Now().UnixNano())
			},
			service: func(ctx context.Context) (*token.Token, error) {
				return c.serviceToken(ctx, service)
			},
			replaceService: func(
				ctx context.Context, rejected *token.Token,
			) (*token.Token, error) {
				return c.replace(ctx, service, rejected)
			},
			acceptService: func(replacement *token.Token) { c.accept(service, replacement) },
		},
		apiKey: func(ctx context.Context) (APIKey, error) {
			key, err := cfg.APIKey(ctx)
			client.LearnKey(key.ClientID, key.ClientSecret)
			if err == nil {
				err = key.validate()
			}
			return key, client.Scrub(err)
		},
		afterLogin: cfg.AfterLogin,
		sender:     &c.sender,
		background: background,
		logins:     logins,
		logouts:    newCalls(cfg, c.events, background, false),
		clock:      cfg.Clock,
		timeout:    cfg.LoginTimeout,
		events:     c.events,
	}
	l.users.endLate = l.endLate
	if cfg.UserToken != nil {
		l.users.elsewhere = &elsewhere{
			cfg.UserToken, client, logins, background, cfg.Clock, cfg.LoginTimeout,
		}
	}
	return l
}

// newCalls makes calls with slots of their own.
func newCalls(cfg Config, e *events, background *guard.Background, pausing bool) *calls {
	return &calls{
		queue:      queue.New(cfg.MaxConcurrentLogins, cfg.LoginTimeout, cfg.Clock),
		pausing:    pausing,
		events:     e,
		apiVersion: cfg.APIVersion,
		clock:      cfg.Clock,
		timeout:    cfg.LoginTimeout,
		background: background,
	}
}

// token returns the Slot's token, which is the way of every request.
func (c *Cache) token(ctx context.Context, s *token.Slot) (*token.Token, error) {
	now := c.clock.Now().UnixNano()
	if c.events.causes.mayEnd(now) { // there may be no login for an hour to tell of that
		c.events.end(ctx, time.Unix(0, now))
	}
	if t := c.tokens.Fresh(s, now); t != nil {
		return t, nil
	}
	if t := c.current(s, now); t != nil {
		return t, nil
	}
	if err := c.validate(Identity{s.Key()}); err != nil {
		return nil, err
	}
	t, err := c.wait(ctx, s)
	c.events.waited(ctx, err)
	return t, err
}

// serviceToken is token for a user's login, which is no caller of its own.
func (c *Cache) serviceToken(ctx context.Context, s *token.Slot) (*token.Token, error) {
	if t := c.current(s, c.clock.Now().UnixNano()); t != nil {
		return t, nil
	}
	return c.wait(ctx, s)
}

// wait waits for the login of the Slot's identity.
func (c *Cache) wait(ctx context.Context, s *token.Slot) (*token.Token, error) {
	t, err := c.lifecycle.wait(ctx, Identity{s.Key()})
	if err == nil {
		s.Hold(t)
	}
	return t, err
}

// current returns the token of the Slot's identity, be it an aging one, which is refreshed then;
// nil if there is none that can be used.
func (c *Cache) current(s *token.Slot, now int64) *token.Token {
	t := c.tokens.Current(s)
	if t == nil || t.Expired(now) {
		return nil
	}
	if !t.Fresh(now) {
		c.lifecycle.refresh(Identity{s.Key()})
	}
	return t
}

// validate refuses nobody, whom nobody can be, and who takes a service account that is not there.
func (c *Cache) validate(who Identity) error {
	switch {
	case who == Identity{}:
		return noIdentity()
	case !who.isValid():
		return invalidIdentity(who)
	case c.noServiceAccount && (!who.isUser() || who.byCredential()):
		return fmt.Errorf("lookerauth: %v: %w", who, ErrNoServiceAccount)
	}
	return nil
}

// mayLast reports whether tokens such as t are handed out for d: for nine tenths of their lives. Of
// one from Config.UserToken nobody knows its life: it may have had a part of that behind it.
func (c *Cache) mayLast(t *token.Token, d time.Duration) bool {
	return c.livesUnknown || t.MayLast(d)
}

// replace returns the service account's token to use instead of one that Looker rejected. It is
// that itself as long as whatever rejects it would hardly take another.
func (c *Cache) replace(
	ctx context.Context, s *token.Slot, rejected *token.Token,
) (*token.Token, error) {
	c.reject(ctx, s, rejected, byLogin)
	return c.serviceToken(ctx, s)
}

// reject takes a token out of service that Looker rejected, unless it is not to blame.
func (c *Cache) reject(
	ctx context.Context, s *token.Slot, rejected *token.Token, by rejecter,
) {
	c.lifecycle.reject(ctx, Identity{s.Key()}, rejected, by)
}

// accept says that Looker took the token in place of one that it had rejected.
func (c *Cache) accept(s *token.Slot, replacement *token.Token) {
	c.tokens.Accept(s.Key(), replacement.OAuth().AccessToken)
}

// ended takes a token out of service that a request has ended at Looker.
func (c *Cache) ended(ctx context.Context, s *token.Slot, t *token.Token) {
	c.lifecycle.ended(ctx, Identity{s.Key()}, t)
}

// Stats returns the current figures. Each is exact; together they are no snapshot, as the Cache
// goes on. It does not block.
func (c *Cache) Stats() Stats {
	stats := c.events.stats()
	stats.Users, stats.MaxUsers = c.tokens.Len(), c.tokens.Size()
	stats.LoginsInFlight, stats.LoginsQueued = c.lifecycle.queue.Stats()
	stats.StoreLeftAlone = c.store != nil && c.store.resting()
	return stats
}

// Health returns how logging in goes, from what the last logins showed. It only reads: it makes no
// call, waits for nothing, and refreshes no token, so a Cache that nobody uses stays as it is. It
// is not for readiness: while Looker is away, all processes would be found unready at once.
func (c *Cache) Health() Health {
	now := wallTime(c.clock)
	health := c.events.causes.health(now)
	health.TokenLife = c.tokens.UsableFor(ServiceAccount().key, now.UnixNano())
	return health
}

// LogoutAll is [TokenSource.Logout] of every identity that the Cache holds a token of, has exported
// one of that may live, or is logging in: for the day on which some may have been stolen. The Cache
// goes on: whoever is used next is logged in anew. With a Store, call it in each process, as none
// knows all; tokens of users who were evicted, or used before a restart, stay there nevertheless,
// until they expire. So that nobody gets those either, set new StoreKeys in each process.
//
// It blocks until Looker has answered all, as many at once as [Config.MaxConcurrentLogins], or ctx
// ends. The error says for how many identities that failed, and has one of theirs, or it is one
// around [ErrClosed]. To call it again tries those again.
func (c *Cache) LogoutAll(ctx context.Context) error { return c.lifecycle.logOutAll(ctx) }

// Close ends the Cache: from now on every call gets [ErrClosed]. It cancels the logins under way,
// waits for them and for background logouts, and logs every token out, the service account's first,
// and those that a Logout could not. It leaves those that others may have: exported ones, those of
// [Config.UserToken], and with a Store all. A token whose login was cancelled on the wire may stay
// alive at Looker until it expires, as nobody has learnt of it.
//
// It blocks until all that is done, which takes a logout's time for every
// [Config.MaxConcurrentLogins] users: 31 s for 10,000 users, 16 at once and 50 ms for each. It
// gives up when ctx ends, or if no logout has succeeded for as long as [Config.LoginTimeout]; it
// then returns an error that says for how many identities the logout failed; the token of a login
// whose AfterLogin hangs is not among them. Give it a context of its own: that of a signal, say,
// has ended by then, and nobody would be logged out.
//
// Afterwards no goroutine of the Cache is left, if the functions and interfaces in the [Config]
// return when their context ends. To close again, or meanwhile, waits for the first Close, or until
// its own ctx ends, and returns the same error.
func (c *Cache) Close(ctx context.Context) error { return c.lifecycle.close(ctx) }
