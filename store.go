package lookerauth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Store shares sealed tokens between processes, so that a fleet logs each user in once. Package redisstore, a module of its own
// in this repository, has one for Redis and Valkey. All methods are safe for concurrent use, and return soon after ctx ends.
//
// Keys are names of up to 64 letters, digits, - and _. Values are at most a few KiB, and mean nothing without the Config's
// StoreKeys.
type Store interface {
	// Get returns the value of key, or ErrNotStored if there is none.
	Get(ctx context.Context, key string) ([]byte, error)

	// Put makes value the value of key for ttl, which is positive, in place of the one it may have.
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Delete removes key, but only if it still has this value. If it does not, that is no error.
	Delete(ctx context.Context, key string, value []byte) error

	// Lock waits until the caller alone may log key's identity in, or ctx ends. If the Store does not answer, it should not
	// wait for ctx's end, but return an error. unlock lets the next one; it is called once, perhaps after ctx has ended, and
	// only Cache.Close waits for it. A lock whose process has died must open by itself.
	Lock(ctx context.Context, key string) (unlock func(), err error)
}

// ErrNotStored is what Store.Get returns for a key that has no value.
var ErrNotStored = errors.New("lookerauth: not in the store")

const (
	storeTimeout = 750 * time.Millisecond // of each operation but Lock, at most
	lockTimeout  = 5 * time.Second        // how long another process may take, at most, before this one logs in, too
	storeRest    = 5 * time.Second        // how long a Store is left alone after an error
	storeKeySize = 32                     // bytes: AES-256

	// A user's first login makes eight calls of the Store: two looks, a lock and a Put, for the service account and for the user.
	// However slow it is, an eighth of LoginTimeout is left for Looker.
	timeoutShare = 16 // the part of LoginTimeout that an operation may take
	lockShare    = 4  // likewise a Lock
)

// sharedTokens is the Store as the Cache uses it: sealed, bounded, and left alone while it does not work. Whatever fails in it
// costs a login at most.
type sharedTokens struct {
	store       Store
	keys        []cipher.AEAD // the first seals, all open
	scope       string        // what keeps the names of different Lookers, and of different kinds of token, apart
	api         *api          // knows the client id, on which names depend, too
	clock       Clock
	timeout     time.Duration // how long to wait for each operation but Lock
	lockTimeout time.Duration // and for that
	log         func(ctx context.Context, level slog.Level, event string, attrs ...slog.Attr)
	calls       *sync.WaitGroup // one for each call of the Store under way
	hits        atomic.Uint64   // tokens taken from the Store
	failures    atomic.Uint64   // operations that failed, or took too long
	garbled     atomic.Bool     // a value that does not open was logged

	mu      sync.Mutex      // guards what is below
	failing map[string]bool // the kinds of operation that failed, and have not worked since
	failed  time.Time       // when the last error came
}

// newSharedTokens takes a valid Config; it returns nil if that has no Store.
func newSharedTokens(cfg Config, c *Cache) *sharedTokens {
	if cfg.Store == nil {
		return nil
	}
	o := c.origin
	s := &sharedTokens{
		store:       cfg.Store,
		scope:       fmt.Sprintf("%s://%s:%s%s %s %t", o.scheme, o.host, o.port, o.prefix, cfg.APIVersion, cfg.NonAssociative),
		api:         c.api,
		clock:       cfg.Clock,
		timeout:     min(storeTimeout, cfg.LoginTimeout/timeoutShare),
		lockTimeout: min(lockTimeout, cfg.LoginTimeout/lockShare),
		log:         c.log,
		calls:       &c.background,
		failing:     make(map[string]bool),
	}
	for _, key := range cfg.StoreKeys {
		s.keys = append(s.keys, newAEAD(key))
	}
	return s
}

// newAEAD takes a key of the right size. It puts a random nonce before what it seals.
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the Config was validated
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a block that is not AES
	}
	return aead
}

// name is the key under which the identity's token is stored. Nothing can be learnt from it.
func (s *sharedTokens) name(ctx context.Context, userID string) (string, error) {
	clientID, err := s.api.account(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "lookerauth %q %q %q", s.scope, clientID, userID))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// entry is one identity's token in the Store, with the value that holds it there.
type entry struct {
	grant
	value []byte
}

// get returns what is stored under the name; ok is false if there is nothing to be had.
func (s *sharedTokens) get(ctx context.Context, name string) (e entry, ok bool) {
	if s.resting() {
		return entry{}, false
	}
	e, err := s.read(ctx, name)
	return e, err == nil
}

// read is get, even while the Store is being left alone. A value that does not open is as good as none.
func (s *sharedTokens) read(ctx context.Context, name string) (entry, error) {
	value, err := ask(ctx, s, s.timeout, func(ctx context.Context) ([]byte, error) { return s.store.Get(ctx, name) })
	s.observe(ctx, "read", err)
	if err != nil {
		return entry{}, err
	}
	g, err := s.open(name, value)
	if err == nil {
		return entry{g, value}, nil
	}
	if !s.garbled.Swap(true) {
		s.log(ctx, slog.LevelWarn, "stored value does not open", slog.Any("error", err))
	}
	return entry{}, ErrNotStored
}

// put stores a new token for as long as it lives. It is named anew: the login may have found another API key.
func (s *sharedTokens) put(ctx context.Context, userID string, g grant) {
	name, err := s.name(ctx, userID)
	ttl := g.life - s.now().Sub(g.sent)
	if err != nil || ttl <= 0 || s.resting() {
		return
	}
	value := s.seal(name, g)
	_, err = ask(ctx, s, s.timeout, func(ctx context.Context) (any, error) {
		return nil, s.store.Put(ctx, name, value, ttl)
	})
	s.observe(ctx, "write", err)
}

// remove deletes the entry, unless another one has replaced it.
func (s *sharedTokens) remove(ctx context.Context, name string, e entry) error {
	_, err := ask(ctx, s, s.timeout, func(ctx context.Context) (any, error) {
		return nil, s.store.Delete(ctx, name, e.value)
	})
	s.observe(ctx, "write", err)
	return err
}

// take removes the identity's stored token, if which says so, and returns its Authorization header.
func (s *sharedTokens) take(ctx context.Context, userID string, which func(entry) bool) (header string, err error) {
	var name string
	err = <-protect(func() error {
		var err error
		name, err = s.name(ctx, userID)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("lookerauth: no API key, by which stored tokens are named: %w", err)
	}
	const failed = "lookerauth: the Store failed, other processes may still use a token: %w"
	e, err := s.read(ctx, name)
	if errors.Is(err, ErrNotStored) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf(failed, err)
	}
	if !which(e) {
		return "", nil
	}
	if err := s.remove(ctx, name, e); err != nil {
		return e.header(), fmt.Errorf(failed, err)
	}
	return e.header(), nil
}

// lock waits until this process alone may log the identity in. If that takes too long, or the Store does not work, it returns
// all the same: that costs a login too many.
func (s *sharedTokens) lock(ctx context.Context, name string) (unlock func()) {
	nothing := func() {}
	if s.resting() {
		return nothing
	}
	var release func()
	var settled atomic.Bool // whoever is second, a lock that came too late or the caller who has left, releases
	_, err := ask(ctx, s, s.lockTimeout, func(ctx context.Context) (any, error) {
		var err error
		if release, err = s.store.Lock(ctx, name); err == nil && settled.Swap(true) {
			release()
		}
		return nil, err
	})
	if err == errStoreTimeout {
		err = errLockTimeout
	}
	s.observe(ctx, "lock", err)
	unlock = func() { s.inBackground(release) }
	if err == nil {
		return unlock
	}
	if settled.Swap(true) {
		unlock()
	}
	return nothing
}

// inBackground runs f, for which nobody waits but Close.
func (s *sharedTokens) inBackground(f func()) {
	s.calls.Add(1)
	protect(func() error {
		defer s.calls.Done()
		f()
		return nil
	})
}

// The errors of a call that took too long.
var (
	errStoreTimeout = errors.New("no answer in time")
	errLockTimeout  = errors.New("another process takes long to log an identity in, or the Store does not answer")
)

// ask makes one call of the Store, and waits for it until ctx ends, or for d.
func ask[T any](ctx context.Context, s *sharedTokens, d time.Duration, f func(ctx context.Context) (T, error)) (T, error) {
	bound, cancel := context.WithCancel(ctx)
	defer cancel()
	var result, none T
	s.calls.Add(1)
	done := protect(func() (err error) {
		defer s.calls.Done()
		result, err = f(bound)
		return err
	})
	select {
	case err := <-done:
		return result, err
	case <-s.clock.After(d):
		return none, errStoreTimeout
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// observe counts an error of an operation, and has the Store left alone for a while. It logs the first one, and when every kind
// of operation that failed works again: a Store may well be read while it cannot be written to.
func (s *sharedTokens) observe(ctx context.Context, kind string, err error) {
	if ctx.Err() != nil {
		return // it was cut short, which says nothing of the Store
	}
	now := s.now()
	s.mu.Lock()
	wasFailing := len(s.failing) > 0
	if err == nil || errors.Is(err, ErrNotStored) {
		delete(s.failing, kind)
	} else {
		s.failures.Add(1)
		s.failing[kind] = true
		if err != errLockTimeout { // which is no reason to leave it alone: then this process would log everybody in itself
			s.failed = now
		}
	}
	isFailing := len(s.failing) > 0
	s.mu.Unlock()
	switch {
	case isFailing && !wasFailing:
		s.log(ctx, slog.LevelWarn, "store failed", slog.Any("error", err))
	case wasFailing && !isFailing:
		s.log(ctx, slog.LevelInfo, "store works again")
	}
}

// resting reports whether the Store is being left alone.
func (s *sharedTokens) resting() bool {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.failing) > 0 && within(now.Sub(s.failed), storeRest)
}

// now is the wall clock's time. It is read before mu is taken, as the Clock is the user's.
func (s *sharedTokens) now() time.Time { return s.clock.Now().Round(0) }

// sealed is a token as it is in a value.
type sealed struct {
	AccessToken string        `json:"access_token"`
	TokenType   string        `json:"token_type"`
	Sent        int64         `json:"sent"` // nanoseconds since 1970, by the clock of the process that logged in
	Life        time.Duration `json:"life"`
}

// seal makes a value that opens under this name only.
func (s *sharedTokens) seal(name string, g grant) []byte {
	text, _ := json.Marshal(sealed{g.accessToken, g.tokenType, g.sent.UnixNano(), g.life}) // nothing in it can fail
	return s.keys[0].Seal(nil, nil, text, []byte(name))
}

// open is the reverse of seal, with any of the keys.
func (s *sharedTokens) open(name string, value []byte) (grant, error) {
	for _, key := range s.keys {
		text, err := key.Open(nil, nil, value, []byte(name))
		if err != nil {
			continue
		}
		var t sealed
		if json.Unmarshal(text, &t) != nil || !isHeaderToken(t.AccessToken) || t.Life <= 0 || t.Life > maxLife {
			return grant{}, errors.New("there is no token in it")
		}
		sent := time.Unix(0, t.Sent)
		if now := s.now(); sent.After(now) { // by a clock that is ahead of this one; the token is as old as this moment at least
			sent = now
		}
		return grant{t.AccessToken, t.TokenType, sent, t.Life}, nil
	}
	return grant{}, errors.New("it was sealed with a key that is not in StoreKeys, or for another identity, or was changed")
}
