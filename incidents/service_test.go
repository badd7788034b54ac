package incidents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookerotel"
	"github.com/lookerauth/lookerauth/lookertest"
)

const (
	callPace = time.Minute      // how often a user wants a token
	patience = 5 * time.Second  // how long a caller waits
	arrival  = 50 * time.Minute // within which all users have come
)

// service is what users use: some processes, each with a Cache, before one Looker. If they are
// several they share a Store. Its users come one after the other, and stay. Others come once: there
// are always some who have no token yet.
type service struct {
	t         *testing.T
	looker    *lookertest.Server
	users     int
	store     *store
	processes []*process
	series    series

	// sends says who sends a request instead of asking for a token.
	sends atomic.Pointer[func(userID string) bool]

	asleep atomic.Bool // nobody calls

	ctx    context.Context // ends the service
	cancel context.CancelFunc
	work   sync.WaitGroup

	calls        atomic.Uint64
	failed, left atomic.Uint64      // callers who got the error of a login, or gave up
	ended        []lookerauth.Stats // of Caches that a restart has ended
}

// process is one of the service's, with what runs in it.
type process struct {
	log log
	atomic.Pointer[running]
}

type running struct {
	*lookerauth.Cache
	shows *prometheus.Registry
}

// start starts a service.
func start(t *testing.T, users, processes int) *service {
	s := &service{
		t:         t,
		looker:    lookertest.New(t, lookertest.InMemory()),
		users:     users,
		store:     newStore(),
		processes: make([]*process, processes),
		series:    make(series),
	}
	s.ctx, s.cancel = context.WithCancel(t.Context())
	s.send(func(string) bool { return false })
	for n := range s.processes {
		s.processes[n] = &process{}
		s.run(n, nil)
	}
	s.work.Go(s.beScraped)
	for i := range users {
		s.work.Go(func() { s.use(i) })
	}
	s.work.Go(s.welcome)
	return s
}

// run makes the Cache of the nth process. change, which may be nil, changes its Config.
func (s *service) run(n int, change func(*lookerauth.Config)) {
	cfg := s.looker.Config()
	cfg.Logger = slog.New(&s.processes[n].log)
	if len(s.processes) > 1 {
		cfg.Store, cfg.StoreKeys = s.store, storeKeys('a')
	}
	if change != nil {
		change(&cfg)
	}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	shows := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(shows))
	if err != nil {
		s.t.Fatal(err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	if _, err := lookerotel.Register(cache, provider); err != nil {
		s.t.Fatal(err)
	}
	s.processes[n].Store(&running{cache, shows})
}

// storeKeys are those that this letter stands for.
func storeKeys(letter byte) [][]byte { return [][]byte{bytes.Repeat([]byte{letter}, 32)} }

// restart ends the nth process, and starts it anew.
func (s *service) restart(n int, change func(*lookerauth.Config)) {
	old := s.processes[n].Load()
	s.run(n, change)
	_ = old.Close(s.ctx)
	s.ended = append(s.ended, old.Stats())
}

// stop ends the service, and waits for all that is under way. It logs nothing any more.
func (s *service) stop() {
	s.cancel()
	s.work.Wait()
	for _, p := range s.processes {
		p.log.close()
		_ = p.Load().Close(s.ctx) // gives all tokens up at once
	}
}

// beScraped lets Prometheus look at each process now and then.
func (s *service) beScraped() {
	for s.sleep(scrapePace) {
		for n, p := range s.processes {
			s.series.scrape(s.t, fmt.Sprint("process-", n), p.Load().shows)
		}
	}
}

// sleep waits, and reports whether the service goes on.
func (s *service) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.ctx.Done():
		return false
	}
}

// Users count from 100, and those who come once from 100,000.
func userID(i int) string     { return strconv.Itoa(100 + i) }
func newcomerID(i int) string { return strconv.Itoa(100_000 + i) }

// use is what a user does who stays.
func (s *service) use(i int) {
	for ok := s.sleep(arrival * time.Duration(i) / time.Duration(s.users)); ok; {
		s.call(userID(i), i)
		ok = s.sleep(callPace)
	}
}

// welcome has users come once.
func (s *service) welcome() {
	pace := 2 * time.Hour / time.Duration(s.users)
	for i := 0; s.sleep(pace); i++ {
		s.work.Go(func() { s.call(newcomerID(i), i) })
	}
}

// send has these users send requests.
func (s *service) send(who func(userID string) bool) { s.sends.Store(&who) }

// call is a caller's who does not wait forever. His calls go from one process to the next.
func (s *service) call(userID string, i int) {
	if s.asleep.Load() {
		return
	}
	user := s.processes[(s.calls.Add(1)+uint64(i))%uint64(len(s.processes))].Load().User(userID)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	var err error
	if (*s.sends.Load())(userID) {
		err = s.request(ctx, user.Client())
	} else {
		_, err = user.TokenContext(ctx)
	}
	_, failed := errors.AsType[*lookerauth.CallError](err)
	switch {
	case err == nil || s.ctx.Err() != nil || errors.Is(err, lookerauth.ErrClosed):
	case failed:
		s.failed.Add(1)
	case ctx.Err() != nil:
		s.left.Add(1)
	default:
		s.t.Errorf("user %s got an error that is no login's: %v", userID, err)
	}
}

// errRejected is what a caller has who gets a 401.
var errRejected = errors.New("401")

// request sends a request.
func (s *service) request(ctx context.Context, client *http.Client) error {
	url := s.looker.URL + "/api/4.0/looks/1"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		return &lookerauth.CallError{Err: errRejected}
	}
	return nil
}
