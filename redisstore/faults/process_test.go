//go:build unix

package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
)

// clockSettings says how a process's clock goes. The zero one is the real one.
type clockSettings struct {
	Ahead time.Duration // may be negative

	// Pace is how time goes by. If it is "still", no login or operation of Redis takes too long,
	// however slow the machine is. If it is "looks", it goes by as others' leases are looked at.
	// Else it is real; if it is "patient", an operation of Redis may take long.
	Pace string
}

// workerClock is such a clock.
type workerClock struct {
	pace string

	mu  sync.Mutex // guards now
	now time.Time  // for a clock that is not real; else how far it is ahead of the zero time
}

const longestPause = 480 * time.Millisecond // 320 ms, give or take a half

func (s clockSettings) clock() lookerauth.Clock {
	c := &workerClock{pace: s.Pace, now: time.Time{}.Add(s.Ahead)}
	if !c.isReal() {
		c.now = time.Now().Add(s.Ahead)
	}
	return c
}

func (c *workerClock) isReal() bool { return c.pace != "still" && c.pace != "looks" }

func (c *workerClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isReal() {
		return time.Now().Add(c.now.Sub(time.Time{}))
	}
	return c.now
}

// After is for pauses between two looks at a lease, and for limits, which are longer.
func (c *workerClock) After(d time.Duration) <-chan time.Time {
	isLimit := d > longestPause
	switch {
	case c.isReal() && isLimit && c.pace == "patient":
		d *= 20
	case !c.isReal() && isLimit:
		return nil
	case c.pace == "looks":
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now = c.now.Add(d)
		d = 0
	}
	return time.After(d)
}

// started is a process of the system that a test has started: this program again.
type started struct {
	name    string
	command *exec.Cmd
	ended   chan struct{} // closed when it has ended
	killed  atomic.Bool   // by the test

	mu      sync.Mutex // guards what is below, and writing to in
	in      io.Writer
	n       int
	waiting map[int]chan answer
	stats   lookerauth.Stats // of the last answer
	size    size             // the last one
}

// start starts a process. It is killed with the test, at the latest.
func start(t *testing.T, l *looker, s settings) *started {
	t.Helper()
	key := l.Config()
	s.Looker, s.ID, s.Secret = l.url, key.ClientID, key.ClientSecret
	text, err := json.Marshal(s)
	check(t, err)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), settingsVariable+"="+string(text),
		"GORACE=halt_on_error=1") // so that who started it sees the race
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	check(t, err)
	out, err := command.StdoutPipe()
	check(t, err)
	check(t, command.Start())
	p := &started{
		name:    s.Name,
		command: command,
		ended:   make(chan struct{}),
		in:      in,
		waiting: map[int]chan answer{},
	}
	go p.read(out)
	t.Cleanup(p.kill)
	return p
}

// read passes answers on, until the process ends.
func (p *started) read(out io.Reader) {
	defer close(p.ended)
	for answers := json.NewDecoder(out); ; {
		var a answer
		if err := answers.Decode(&a); err != nil {
			_ = p.command.Wait() // it was killed
			return
		}
		p.mu.Lock()
		p.stats = a.Stats
		if a.Size.Heap > 0 {
			p.size = a.Size
		}
		p.waiting[a.N] <- a
		delete(p.waiting, a.N)
		p.mu.Unlock()
	}
}

// kill ends the process at once, by SIGKILL, and waits until all of its answers are read.
func (p *started) kill() {
	p.killed.Store(true)
	_ = p.command.Process.Kill() // or it has ended
	<-p.ended
}

// do has the process do what the command says. The error is errEnded if the test has killed it.
func (p *started) do(c command) (token string, err error) {
	done := make(chan answer, 1)
	p.mu.Lock()
	p.n++
	c.N = p.n
	p.waiting[c.N] = done
	line, _ := json.Marshal(c)
	_, err = p.in.Write(append(line, '\n'))
	p.mu.Unlock()
	if err != nil {
		return "", p.gone()
	}
	select {
	case a := <-done:
		return a.result(p.name)
	case <-p.ended:
	}
	select { // it may have been the last one
	case a := <-done:
		return a.result(p.name)
	default:
		return "", p.gone()
	}
}

func (p *started) gone() error {
	if p.killed.Load() {
		return errEnded
	}
	return fmt.Errorf("%s has ended by itself", p.name)
}

func (a answer) result(process string) (string, error) {
	if a.Login {
		return a.Token, fmt.Errorf("%s: %w: %s", process, errLogin, a.Error)
	}
	if a.Error != "" {
		return a.Token, fmt.Errorf("%s: %s", process, a.Error)
	}
	return a.Token, nil
}

// requestAll has processes make a request as each of n users at once, in any order.
func requestAll(t *testing.T, processes []*started, name string, n int) {
	t.Helper()
	var all sync.WaitGroup
	for _, p := range processes {
		for _, i := range rand.Perm(n) {
			all.Go(func() {
				c := command{Op: "request", UserID: fmt.Sprintf("%s-%d", name, i)}
				if _, err := p.do(c); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
}
