//go:build unix

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/redisstore"
)

// settings is what a process that a test starts has in its environment, as JSON.
type settings struct {
	Name   string // of the process
	Looker string // the base URL
	ID     string // of the API key
	Secret string
	Redis  string
	Clock  clockSettings
	Broken bool // whether everybody gets every lease

	MaxUsers int
}

const settingsVariable = "FAULTS_TEST_PROCESS" // only such processes have it

// command is a line on a process's standard input; answer one on its output.
type command struct {
	N      int
	Op     string // "token", "request", "invalidate", "logout", "size"
	UserID string // the service account's if it is empty
	Token  string // to be invalidated
	Begun  int64  // when, in the history
}

type answer struct {
	N     int
	Token string // that was got, or sent with a request
	Error string
	Login bool // whether the error is a login's
	Stats lookerauth.Stats
	Size  size // when that was asked for
}

// size is what a process takes.
type size struct {
	Heap       uint64 // bytes that are in use
	Goroutines int
}

// runWorker is such a process. It ends with its standard input, and so with its parent.
func runWorker(text string) error {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	w, err := newWorker(s)
	if err != nil {
		return err
	}
	var mu sync.Mutex // of the output
	out := json.NewEncoder(os.Stdout)
	for in := json.NewDecoder(os.Stdin); ; {
		var c command
		if err := in.Decode(&c); err != nil {
			return nil
		}
		go func() {
			token, err := w.do(c)
			a := answer{N: c.N, Token: token, Stats: w.cache.Stats()}
			if err != nil {
				a.Error, a.Login = err.Error(), errors.As(err, new(*lookerauth.CallError))
			}
			if c.Op == "size" {
				a.Size = measure()
			}
			mu.Lock()
			defer mu.Unlock()
			_ = out.Encode(a) // the parent sees that there is none
		}()
	}
}

type worker struct {
	url   string
	cache *lookerauth.Cache
}

func newWorker(s settings) (*worker, error) {
	client := redis.NewClient(&redis.Options{Addr: s.Redis, ReadTimeout: guard})
	store := &watchedStore{Store: redisstore.New(client), everybodys: s.Broken}
	cache, err := lookerauth.New(lookerauth.Config{
		BaseURL:      s.Looker,
		ClientID:     s.ID,
		ClientSecret: s.Secret,
		Store:        store,
		StoreKeys:    storeKeys,
		Clock:        s.Clock.clock(),
		MaxUsers:     s.MaxUsers,
		Transport:    sayingWho{s.Name, store},
	})
	return &worker{s.Looker, cache}, err
}

// do does what a command says, and returns the token that was served.
func (w *worker) do(c command) (token string, err error) {
	source := w.cache.ServiceAccount()
	if c.UserID != "" {
		source = w.cache.User(c.UserID)
	}
	mine := &claims{isService: c.UserID == "", byName: map[string]*claim{}}
	ctx := context.WithValue(context.Background(), claimsKey{}, mine)
	switch c.Op {
	case "request":
		return w.request(lookerauth.WithIdentity(ctx, source.Identity()), c)
	case "invalidate":
		source.Invalidate(&oauth2.Token{AccessToken: c.Token})
		return "", nil
	case "logout":
		return "", source.Logout(ctx)
	case "size":
		return "", nil
	}
	t, err := source.TokenContext(ctx)
	if err != nil {
		return "", err
	}
	return t.AccessToken, nil
}

func measure() size {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return size{memory.HeapAlloc, runtime.NumGoroutine()}
}

// request asks Looker who it is that asks, and returns the token that was taken.
func (w *worker) request(ctx context.Context, c command) (token string, err error) {
	url := w.url + "/api/4.0/user"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set(userHeader, c.UserID)
	req.Header.Set(begunHeader, strconv.FormatInt(c.Begun, 10))
	client := &http.Client{Transport: w.cache.Transport(nil)}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	token = resp.Header.Get(tokenHeader)
	var me struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&me); err != nil {
		return token, err
	}
	if resp.StatusCode != http.StatusOK || me.ID != c.UserID {
		return token, fmt.Errorf("a request as user %s was answered %s as %q",
			c.UserID, resp.Status, me.ID)
	}
	return token, nil
}

// claims are the logins' ways to their leases, by the names of records, of one call. They are in
// its context.
type claims struct {
	isService bool // whether it is about the service account itself

	mu     sync.Mutex // guards what is below
	byName map[string]*claim
}

type claimsKey struct{}

type claim struct {
	isOpen bool      // until the login is sent: what is swapped afterwards is no lease
	leased time.Time // when the swap began that has brought the lease; zero if there is none
}

// watchedStore keeps in mind which leases were taken, for whom, and when.
type watchedStore struct {
	lookerauth.Store
	everybodys bool // gives each lease to whoever wants it

	mu      sync.Mutex // guards what is below
	service string     // the name of the service account's record
}

func (s *watchedStore) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	all, _ := ctx.Value(claimsKey{}).(*claims)
	if all == nil { // it is no login's
		return s.Store.CompareAndSwap(ctx, name, old, next, ttl)
	}
	s.learn(name, all.isService)
	begun := time.Now()
	now, err := s.Store.CompareAndSwap(ctx, name, old, next, ttl)
	if s.everybodys && err == nil && len(old) == 0 {
		now = next
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	c := all.byName[name]
	if c == nil {
		c = new(claim)
		all.byName[name] = c
	}
	c.isOpen = c.isOpen || len(old) == 0 // as each claim begins
	c.leased = time.Time{}
	if c.isOpen && err == nil && bytes.Equal(now, next) {
		c.leased = begun
	}
	return now, err
}

func (s *watchedStore) learn(name string, isService bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isService {
		s.service = name
	}
}

// leased returns when a login that is being sent took its lease.
func (s *watchedStore) leased(ctx context.Context, isService bool) (time.Time, bool) {
	all, _ := ctx.Value(claimsKey{}).(*claims)
	if all == nil {
		return time.Time{}, false
	}
	s.mu.Lock()
	service := s.service
	s.mu.Unlock()
	all.mu.Lock()
	defer all.mu.Unlock()
	for name, c := range all.byName {
		if (name == service) == isService {
			c.isOpen = false
			return c.leased, !c.leased.IsZero()
		}
	}
	return time.Time{}, false
}

// sayingWho tells looker whose requests these are, and whether a login has a lease.
type sayingWho struct {
	process string
	store   *watchedStore
}

func (s sayingWho) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set(processHeader, s.process)
	isService := req.URL.Path == "/api/4.0/login"
	if since, ok := s.store.leased(req.Context(), isService); ok {
		req.Header.Set(leasedHeader, strconv.FormatInt(since.UnixNano(), 10))
	}
	return http.DefaultTransport.RoundTrip(req)
}

var (
	errEnded = errors.New("the process was killed")
	errLogin = errors.New("a login failed")
)

// worked runs this program as a process, if that is what it was started for.
func worked() {
	text := os.Getenv(settingsVariable)
	if text == "" {
		return
	}
	if err := runWorker(text); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
