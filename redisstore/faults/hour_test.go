//go:build unix

package faults

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

var hourTime = flag.Duration("hour.time", 5*time.Second, "of real time, for TestHour")

const (
	hourUsers   = 200
	hourCallers = 4 // of each process
	hourLife    = time.Minute
	hourPause   = 50 * time.Millisecond // of a caller, on average
	hourSamples = 120
	hourFaults  = 60
)

// hour is a fleet behind nginx, with a Redis, in which something is wrong all the time.
type hour struct {
	t         *testing.T
	looker    *looker
	redis     *redisserver.Server
	slots     []*slot
	processes []*started
	done      chan struct{}

	requests, failedLogins, rejected atomic.Int64
}

func newHour(t *testing.T) *hour {
	t.Helper()
	fake := lookertest.New(t)
	fake.SetTokenLife(hourLife)
	h := &hour{
		t:      t,
		looker: &looker{Server: fake, url: behindNginx(t, fake.URL)},
		redis:  redisserver.New(t),
		done:   make(chan struct{}),
	}
	for i, ahead := range proofClocks {
		s := &slot{proxy: newProxy(t, h.redis.Addr)}
		h.slots = append(h.slots, s)
		h.processes = append(h.processes, start(t, h.looker, settings{
			Name:     fmt.Sprint(i),
			Redis:    s.proxy.Listen,
			Clock:    clockSettings{Ahead: ahead},
			MaxUsers: hourUsers * 3 / 4,
		}))
	}
	fake.FailFunc(func(r lookertest.Request) lookertest.Fault { return badLogin(r.Op) })
	return h
}

// badLogin makes two of ten logins fail, and the others slow.
func badLogin(op lookertest.Op) lookertest.Fault {
	if op != lookertest.OpLogin && op != lookertest.OpLoginUser {
		return lookertest.Fault{}
	}
	if rand.IntN(10) > 1 {
		return lookertest.Fault{Delay: rand.N(100 * time.Millisecond)}
	}
	return []lookertest.Fault{
		{Status: http.StatusServiceUnavailable},
		{Status: http.StatusBadGateway, Body: "<html>Bad gateway</html>"},
		{Drop: true},
		{Delay: time.Second, Status: http.StatusInternalServerError},
		{Body: `{"access_token":"truncated`},
		{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}},
	}[rand.IntN(6)]
}

// pause waits for a share of the hour. It reports whether that goes on.
func (h *hour) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-h.done:
		return false
	}
}

// call is what a caller does, again and again. No request is answered as somebody else, and none
// fails but with its login, or as its tokens were revoked or logged out twice while it was on its
// way.
func (h *hour) call(p *started) {
	for h.pause(rand.N(2 * hourPause)) {
		c := command{Op: "request", UserID: fmt.Sprint("user-", rand.IntN(hourUsers))}
		if rand.IntN(200) == 0 {
			c.Op = "logout"
		}
		if rand.IntN(200) == 0 {
			h.looker.Revoke(c.UserID)
		}
		_, err := p.do(c)
		h.requests.Add(1)
		switch {
		case err == nil:
		case errors.Is(err, errLogin):
			h.failedLogins.Add(1)
		case strings.Contains(err.Error(), "was answered 401"):
			h.rejected.Add(1)
		case c.Op == "logout" && strings.Contains(err.Error(), "the Store failed"):
		default:
			h.t.Error(err)
		}
	}
}

// spoil has something be wrong with Redis, or between it and a process, for a while.
func (h *hour) spoil() {
	toxics := []string{
		`"type": "latency", "attributes": {"latency": 400, "jitter": 400}`,
		`"type": "reset_peer", "attributes": {"timeout": 5}`,
		`"type": "timeout", "attributes": {"timeout": 0}`,
		`"type": "slicer", "attributes": {"average_size": 20, "size_variation": 10}`,
	}
	while := *hourTime / hourFaults / 2
	for n := 0; h.pause(while); n++ {
		kind, s := n%(len(toxics)+2), h.slots[rand.IntN(len(h.slots))]
		switch kind {
		case len(toxics):
			check(h.t, h.redis.Pause())
		case len(toxics) + 1:
			h.redis.Stop()
		default:
			spoil(h.t, s.proxy, toxics[kind])
		}
		h.pause(while)
		switch kind {
		case len(toxics):
			check(h.t, h.redis.Resume())
		case len(toxics) + 1:
			check(h.t, h.redis.Restart())
		default:
			s.proxy.Toxics.ResetToxics(h.t.Context())
		}
	}
}

// watch notes what the processes take, again and again.
func (h *hour) watch() (sizes [][]size) {
	sizes = make([][]size, len(h.processes))
	for h.pause(*hourTime / hourSamples) {
		for i, p := range h.processes {
			if _, err := p.do(command{Op: "size"}); err != nil {
				h.t.Error(err)
				return sizes
			}
			p.mu.Lock()
			sizes[i] = append(sizes[i], p.size)
			p.mu.Unlock()
		}
	}
	return sizes
}

// checkGrowth compares what a process took in the second quarter of the hour, when all users had
// been there, with what it took in the last.
func checkGrowth(t *testing.T, process string, sizes []size) {
	t.Helper()
	const fewest = hourSamples * 3 / 4 // with less, the machine is too slow to tell
	quarter := len(sizes) / 4
	early, late := median(sizes[quarter:2*quarter]), median(sizes[3*quarter:])
	t.Logf("process %s: %d KiB and %d goroutines in the second quarter, %d and %d in the last, "+
		"medians of %d samples", process, early.Heap>>10, early.Goroutines, late.Heap>>10,
		late.Goroutines, quarter)
	if *hourTime < 10*time.Minute || len(sizes) < fewest {
		return
	}
	const few = 10 // goroutines that come and go with connections
	if late.Heap > early.Heap*5/4 || late.Goroutines > early.Goroutines*5/4+few {
		t.Error("it grows")
	}
}

func median(sizes []size) (m size) {
	if len(sizes) == 0 {
		return m
	}
	var heaps []uint64
	var goroutines []int
	for _, s := range sizes {
		heaps, goroutines = append(heaps, s.Heap), append(goroutines, s.Goroutines)
	}
	slices.Sort(heaps)
	slices.Sort(goroutines)
	return size{heaps[len(heaps)/2], goroutines[len(goroutines)/2]}
}

// An hour of it needs -hour.time 1h -timeout 70m. By default it is short, and growth is not judged.
func TestHour(t *testing.T) {
	h := newHour(t)
	var all sync.WaitGroup
	for _, p := range h.processes {
		for range hourCallers {
			all.Go(func() { h.call(p) })
		}
	}
	all.Go(h.spoil)
	time.AfterFunc(*hourTime, func() { close(h.done) })
	sizes := h.watch()
	all.Wait()
	h.heal()
	for i, p := range h.processes {
		checkGrowth(t, p.name, sizes[i])
	}
	requests, rejected := h.requests.Load(), h.rejected.Load()
	t.Logf("%d requests, %d with a failed login, %d with tokens that were ended twice meanwhile",
		requests, h.failedLogins.Load(), rejected)
	if rejected > requests/1000 {
		t.Error("that many cannot be")
	}
	for _, p := range h.processes {
		s := p.stats
		t.Logf("process %s: %d logins, %d tokens from Redis, %d errors of Redis, %d evictions",
			p.name, s.Logins, s.StoreHits, s.StoreErrors, s.Evictions)
	}
}

// heal takes all faults away, and waits until everybody can do everything again.
func (h *hour) heal() {
	h.looker.FailFunc(nil)
	for _, p := range h.processes {
		for i := range hourUsers / 100 {
			c := command{Op: "request", UserID: fmt.Sprint("user-", i)}
			eventually(h.t, c.UserID+" is served", func() bool {
				_, err := p.do(c)
				return err == nil
			})
		}
	}
}
