//go:build unix

package faults

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"

	"github.com/lookerauth/lookerauth/lookertest"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

var (
	proofSteps = flag.Int("proof.steps", 240, "how much each process does in a proof")
	proofSeed  = flag.Uint64("proof.seed", 0, "of what is done in a proof; any if 0")
)

// proof has processes log users in, hand tokens out, invalidate them and log users out, all at
// random, while things go wrong. The history of that is checked against the model.
type proof struct {
	t       *testing.T
	seed    uint64
	looker  *looker
	slots   []*slot
	steps   atomic.Int64
	reached chan struct{} // gets something after each step
	done    chan struct{} // closed after the last one

	kills, served, shared, logouts, failedLogouts atomic.Int64
}

// slot has one process after another: the next one when it is killed.
type slot struct {
	settings settings
	proxy    *toxiproxy.Proxy

	mu      sync.Mutex // guards what is below
	starts  int
	process *started
}

const (
	proofUsers   = 4
	proofCallers = 3 // of each process
)

// proofClocks are seconds and hours apart. Real time goes by in all of them.
var proofClocks = []time.Duration{0, 2 * time.Second, -3 * time.Hour, 5 * time.Hour}

func newProof(t *testing.T, pace string, broken bool) *proof {
	t.Helper()
	seed := *proofSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-proof.seed %d", seed)
	p := &proof{t: t, seed: seed, looker: newLooker(t), reached: make(chan struct{}, 1),
		done: make(chan struct{})}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	p.looker.FailFunc(func(r lookertest.Request) (f lookertest.Fault) {
		mu.Lock()
		defer mu.Unlock()
		if r.Op == lookertest.OpLoginUser { // takes a moment
			f.Delay = time.Duration(random.IntN(30)) * time.Millisecond
		}
		return f
	})
	redis := redisserver.New(t).Addr
	for i, ahead := range proofClocks {
		proxy := newProxy(t, redis)
		s := &slot{proxy: proxy, settings: settings{
			Name:   fmt.Sprint(i),
			Redis:  proxy.Listen,
			Clock:  clockSettings{ahead, pace},
			Broken: broken,
		}}
		p.slots = append(p.slots, s)
		p.start(s)
	}
	return p
}

// start starts a process in a slot, which nobody else uses meanwhile.
func (p *proof) start(s *slot) {
	next := s.settings
	next.Name = fmt.Sprintf("%s.%d", next.Name, s.starts)
	s.starts++
	s.process = start(p.t, p.looker, next)
	// Its Store has to learn the name of the service account's record first.
	if _, err := s.process.do(command{Op: "token"}); err != nil {
		p.t.Error(err)
	}
}

func (s *slot) current() *started {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// kill ends a slot's process when it has a lease, and starts another one.
func (p *proof) kill(s *slot) {
	process := s.current()
	if !p.looker.await(process.name, 1, p.done, process.kill) {
		return
	}
	p.kills.Add(1)
	p.looker.history.add(event{kind: killed, process: process.name})
	s.mu.Lock()
	defer s.mu.Unlock()
	p.start(s)
}

// run has each process make its steps, and returns once it has made them all.
func (p *proof) run(nemesis func()) {
	var callers, faults sync.WaitGroup
	faults.Go(nemesis)
	for i, s := range p.slots {
		for j := range proofCallers {
			random := rand.New(rand.NewPCG(p.seed, uint64(1+i*proofCallers+j)))
			callers.Go(func() {
				var last string
				for range *proofSteps / proofCallers {
					last = p.step(s, random, last)
				}
			})
		}
	}
	callers.Wait()
	close(p.done)
	faults.Wait()
}

// after waits until a share of all steps is made.
func (p *proof) after(share float64) {
	for p.steps.Load() < int64(share*float64(*proofSteps/proofCallers*proofCallers*len(p.slots))) {
		select {
		case <-p.reached:
		case <-p.done:
			return
		}
	}
}

// step does something with one of the users. It returns the token that was served, or last.
func (p *proof) step(s *slot, random *rand.Rand, last string) string {
	defer func() {
		p.steps.Add(1)
		select {
		case p.reached <- struct{}{}:
		default:
		}
	}()
	process, who := s.current(), fmt.Sprint("user-", random.IntN(proofUsers))
	switch n := random.IntN(100); {
	case n < 8:
		p.logOut(process, who)
	case n < 14 && last != "":
		owner, token, _ := strings.Cut(last, " ")
		begun := p.looker.history.begin()
		c := command{Op: "invalidate", UserID: owner, Token: token}
		if _, ok := p.do(process, c); ok {
			e := event{kind: invalidates, process: process.name, identity: owner}
			e.tokens = []string{token}
			p.looker.history.end(begun, e)
		}
	case n < 40:
		return p.serve(process, command{Op: "request", UserID: who}, last)
	default:
		return p.serve(process, command{Op: "token", UserID: who}, last)
	}
	return last
}

// do has a process do something. It reports whether it did. None but a killed one may fail, and a
// request whose tokens were logged out while it was on its way: the one it had, and the next one.
func (p *proof) do(process *started, c command) (token string, ok bool) {
	token, err := process.do(c)
	switch {
	case err == nil:
		return token, true
	case errors.Is(err, errEnded), c.Op == "request" && p.looker.isLoggedOut(token):
	default:
		p.t.Error(err)
	}
	return "", false
}

// serve returns the token that was served, with its user, or last. That of a request is in the
// history since Looker has got it.
func (p *proof) serve(process *started, c command, last string) string {
	c.Begun = p.looker.history.begin()
	token, ok := p.do(process, c)
	if !ok {
		return last
	}
	p.served.Add(1)
	if by := p.looker.issuer(token); by != process.name {
		p.shared.Add(1)
	}
	if c.Op == "token" {
		e := event{kind: serves, process: process.name, identity: c.UserID}
		e.tokens = []string{token}
		p.looker.history.end(c.Begun, e)
	}
	return c.UserID + " " + token
}

// logOut may fail, as its process is killed or Redis fails. Then it promises nothing.
func (p *proof) logOut(process *started, who string) {
	history, before := p.looker.history, p.looker.countLogouts()
	e := event{kind: logout, process: process.name, identity: who, number: int(history.begin())}
	history.add(e)
	_, err := process.do(command{Op: "logout", UserID: who})
	switch {
	case err == nil:
		p.logouts.Add(1)
		e.kind, e.tokens = logsOut, p.looker.endedSince(before, process.name, who)
	case errors.Is(err, errEnded), strings.Contains(err.Error(), "the Store failed"):
		p.failedLogouts.Add(1)
		e.kind = fails
	default:
		p.t.Error(err)
	}
	history.add(e)
}

// verdict is what is wrong with the history.
func (p *proof) verdict() string {
	leased, alone := 0, 0
	for _, login := range p.looker.logins {
		if login.leased.IsZero() {
			alone++
		} else {
			leased++
		}
	}
	p.t.Logf("%d logins with a lease, %d without; %d tokens served, %d of another process; "+
		"%d logouts, and %d that failed; %d processes killed", leased, alone, p.served.Load(),
		p.shared.Load(), p.logouts.Load(), p.failedLogouts.Load(), p.kills.Load())
	if leased == 0 || p.logouts.Load() == 0 {
		p.t.Error("nothing is proved")
	}
	return p.looker.history.check(5 * time.Minute)
}

// check fails the test unless the history is what the model allows.
func (p *proof) check() {
	p.t.Helper()
	if wrong := p.verdict(); wrong != "" {
		p.t.Error(wrong)
	}
	if p.shared.Load() == 0 {
		p.t.Error("no token was shared")
	}
}

// Processes are killed while they have a lease.
func TestHistoryWithKilledProcessesIsWhatTheModelAllows(t *testing.T) {
	p := newProof(t, "patient", false)
	p.run(func() {
		for i, s := range p.slots[:2] {
			p.after(0.2 + 0.3*float64(i))
			p.kill(s)
		}
	})
	p.check()
	if p.kills.Load() == 0 {
		t.Error("nobody was killed")
	}
}

// Of two processes at a time the connections are bad. Operations of Redis take too long, and arrive
// when nobody waits for them any more; or they arrive and their answers do not.
func TestHistoryWithBadConnectionsIsWhatTheModelAllows(t *testing.T) {
	toxics := []string{
		`"type": "latency", "attributes": {"latency": 400, "jitter": 400}`,
		`"type": "reset_peer", "attributes": {"timeout": 5}`,
		`"type": "timeout", "attributes": {"timeout": 0}`,
	}
	p := newProof(t, "real", false)
	p.run(func() {
		for i, toxic := range toxics {
			p.after(0.1 + 0.3*float64(i))
			bad := []*slot{p.slots[i], p.slots[(i+1)%len(p.slots)]}
			for _, s := range bad {
				spoil(t, s.proxy, toxic)
			}
			p.after(0.3 + 0.3*float64(i))
			for _, s := range bad {
				s.proxy.Toxics.ResetToxics(t.Context())
			}
		}
	})
	p.check()
}

// A lock that everybody gets is found out.
func TestHistoryOfABrokenStoreIsNotWhatTheModelAllows(t *testing.T) {
	p := newProof(t, "patient", true)
	p.run(func() {})
	if p.verdict() == "" {
		t.Error("the model takes the history")
	}
}
