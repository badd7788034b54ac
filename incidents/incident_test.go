package incidents

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin is when an incident begins. All users have come by then, and soon the service account's
// first token ages.
const begin = 54 * time.Minute

// epoch is when time starts in a bubble.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// incident is one that is played, and how it must be told.
type incident struct {
	users     []int // of the services on which it is played; 200 and 3,000 if nil
	processes int   // of the service; 1 if 0

	begins func(s *service)
	lasts  time.Duration
	ends   func(s *service)
	heals  time.Duration // within which it must be over then; 15 minutes if 0

	process int      // the one that tells
	lines   []string // what it logs, in words: see has
	over    string   // likewise, when it is over
	alerts  []string // the rules that fire, and no others
	harms   bool     // callers get errors, or give up
	brief   bool     // rules may hold, but not for long enough to fire

	// figure grows while it lasts.
	figure func(lookerauth.Stats) uint64

	// health is the part that is not well while it lasts, and why; nil if all is well.
	health func(lookerauth.Health) lookerauth.LoginHealth
	why    string
}

// play plays the incident on services of several sizes.
func (i incident) play(t *testing.T) {
	t.Parallel()
	if i.users == nil {
		i.users = []int{200, 3000}
	}
	for _, users := range i.users {
		t.Run(fmt.Sprintf("%d users", users), func(t *testing.T) {
			i.playWith(t, users)
		})
	}
}

func (i incident) playWith(t *testing.T, users int) {
	var s *service
	var ended time.Time
	synctest.Test(t, func(t *testing.T) {
		s = start(t, users, max(i.processes, 1))
		defer s.stop()
		time.Sleep(begin)
		checkWell(t, s)
		first := i.teller(s).Stats()

		i.begins(s)
		time.Sleep(i.lasts)
		synctest.Wait()
		ended = time.Now()
		i.checkSick(t, s)
		if i.figure != nil && i.figure(i.teller(s).Stats()) <= i.figure(first) {
			t.Error("the figure has not grown")
		}

		i.ends(s)
		time.Sleep(cmp.Or(i.heals, 15*time.Minute))
		synctest.Wait()
		checkWell(t, s)
		i.checkHarm(t, s)
		i.checkLines(t, s)
	})
	i.checkAlerts(t, s.series, ended)
}

// teller is the Cache of the process that tells.
func (i incident) teller(s *service) *running { return s.processes[i.process].Load() }

// checkSick looks at the Health of each process while it lasts.
func (i incident) checkSick(t *testing.T, s *service) {
	t.Helper()
	for n, p := range s.processes {
		if n != i.process || i.health == nil {
			checkHealth(t, p.Load().Health())
			continue
		}
		sick := i.health(p.Load().Health())
		if sick.FailingSince.IsZero() || !strings.Contains(fmt.Sprint(sick.Err), i.why) {
			t.Errorf("Health: since %v, %v, want %q", sick.FailingSince, sick.Err, i.why)
		}
	}
}

// checkWell looks at it when nothing is wrong.
func checkWell(t *testing.T, s *service) {
	t.Helper()
	for _, p := range s.processes {
		checkHealth(t, p.Load().Health())
	}
}

func checkHealth(t *testing.T, health lookerauth.Health) {
	t.Helper()
	for _, of := range []lookerauth.LoginHealth{health.ServiceAccount, health.Users} {
		if !of.FailingSince.IsZero() || of.Err != nil {
			t.Errorf("Health: since %v, %v, want it well", of.FailingSince, of.Err)
		}
	}
}

// checkHarm compares the figures of callers with what callers got.
func (i incident) checkHarm(t *testing.T, s *service) {
	t.Helper()
	var failed, left uint64
	all := s.ended
	for _, p := range s.processes {
		all = append(all, p.Load().Stats())
	}
	for _, stats := range all {
		failed += stats.WaitsFailed
		left += stats.WaitsLeft
	}
	if failed != s.failed.Load() || left != s.left.Load() {
		t.Errorf("the figures are %d failed and %d left, callers saw %d and %d",
			failed, left, s.failed.Load(), s.left.Load())
	}
	if harmed := failed+left > 0; harmed != i.harms {
		t.Errorf("callers are harmed: %t (%d failed, %d left)", harmed, failed, left)
	}
}

// checkLines looks for what must be told.
func (i incident) checkLines(t *testing.T, s *service) {
	t.Helper()
	for n := range s.processes {
		checkLog(t, &s.processes[n].log)
	}
	told := s.processes[i.process].log.told()
	wants := i.lines
	if i.over != "" {
		wants = append(wants[:len(wants):len(wants)], i.over)
	}
	for _, want := range wants {
		if !has(told, want) {
			t.Errorf("no line tells %q", want)
		}
	}
	if t.Failed() {
		for n, p := range s.processes {
			t.Logf("process %d told:", n)
			for _, line := range p.log.told() {
				t.Log(line)
			}
		}
	}
}

// checkAlerts looks at what the rules compare: that of the incident's is beyond its limit for long
// enough while it lasts, and that of no other.
func (i incident) checkAlerts(t *testing.T, collected series, ended time.Time) {
	t.Helper()
	fires := make(map[string]bool)
	for _, a := range evaluate(t, loadRules(t), collected) {
		if i.brief && !a.fires {
			continue
		}
		if !slices.Contains(i.alerts, a.name) || a.unresolved || a.since.Before(epoch.Add(begin)) {
			t.Errorf("there is an alert: %v", a)
		}
		if a.fires && !a.firing.After(ended) {
			fires[a.name] = true
		}
	}
	for _, name := range i.alerts {
		if !fires[name] {
			t.Errorf("%s does not fire", name)
		}
	}
}
