package main

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	tick       = 50 * time.Millisecond // requests come at its multiples
	leastPause = 45 * time.Second      // between two requests of a user
	mostPause  = 75 * time.Second
	firstComes = time.Minute // within that, every user sends his first request

	meanLogin = 500 * time.Millisecond
)

// scene is how long Looker takes to log in.
type scene struct {
	name, text string
	from       time.Duration // what comes earlier is not counted
	mean       func(at time.Duration) time.Duration
}

var scenes = []scene{
	{
		name: "steady",
		text: "a login takes 500 ms on average. The first hour, a cold start, is not counted.",
		from: tokenLife, // at a load of 100 % logging everybody in takes as long
		mean: func(time.Duration) time.Duration { return meanLogin },
	},
	{
		name: "slower",
		text: "for 10 minutes a login takes 50 ms on average, which are not counted;\n" +
			"from then on 500 ms.",
		from: fast,
		mean: func(at time.Duration) time.Duration {
			if at < fast {
				return meanLogin / 10
			}
			return meanLogin
		},
	},
}

const fast = 10 * time.Minute

// usersFor returns how many users make a load, in percent of what Looker can log in.
func usersFor(percent, slots int) int {
	capacity := float64(tokenLife) * float64(slots) / float64(meanLogin)
	return int(math.Round(capacity * float64(percent) / 100))
}

// never is when what did not happen did.
const never time.Duration = math.MaxInt64

// trial is how one contestant copes with one load in one scene.
type trial struct {
	settings
	scene
	percent int
	contestant
	users []rand.PCG // of each user: when he sends his requests

	get   getter
	start time.Time
	due   [][]int // users, by the tick of their next request; a ring

	mu       sync.Mutex // guards what is below
	requests int
	failed   int             // got an error before their deadline
	left     int             // got nothing until it
	waits    []time.Duration // of all who waited, whatever came of it
	had      []time.Duration // of each user: when he last got a token; never if he had none yet
	lacks    []time.Duration // of each user: since when he asks for one; never if he has one
	longest  time.Duration   // that a user lacked one, by now
	hadNone  int             // users who had none yet
	allHad   time.Duration   // when the last one got his first
}

func newTrial(s settings, in scene, percent int, c contestant) *trial {
	return &trial{settings: s, scene: in, percent: percent, contestant: c}
}

// run runs the trial in a bubble of testing/synctest.
func (t *trial) run() (result, error) {
	users := usersFor(t.percent, t.Slots)
	l := newLooker(t.settings, users, t.mean)
	get, stop, err := t.contestant.start(l, t.settings, users)
	if err != nil {
		return result{}, err
	}
	t.get, t.start = get, l.start
	t.have(users)
	t.due = make([][]int, (mostPause+tick)/tick+1)
	for user := range t.users {
		t.users[user].Seed(t.Seed, uint64(user)<<1)
		t.plan(user, t.draw(user, 0, firstComes))
	}
	var requests sync.WaitGroup
	for at := time.Duration(0); at < t.Length; at += tick {
		now := &t.due[int(at/tick)%len(t.due)]
		if len(*now) == 0 {
			continue
		}
		time.Sleep(time.Until(t.start.Add(at)))
		users := *now
		*now = nil
		for _, user := range users {
			t.plan(user, at+t.draw(user, leastPause, mostPause))
		}
		requests.Go(func() { t.send(users, at) })
	}
	requests.Wait()
	l.underWay.Wait()
	stop()
	return t.result(l.begun), nil
}

// have gives the trial its users, none of whom had a token yet.
func (t *trial) have(users int) {
	t.users, t.hadNone = make([]rand.PCG, users), users
	t.had = slices.Repeat([]time.Duration{never}, users)
	t.lacks = slices.Clone(t.had)
}

// draw returns a time between these two.
func (t *trial) draw(user int, least, most time.Duration) time.Duration {
	return least + time.Duration(t.users[user].Uint64()%uint64(most-least))
}

// plan has the user send his next request then.
func (t *trial) plan(user int, at time.Duration) {
	i := int(at/tick) % len(t.due)
	t.due[i] = append(t.due[i], user)
}

// send sends one request of each of these users, which are due at the same time.
func (t *trial) send(users []int, at time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), t.Deadline)
	defer cancel()
	var all sync.WaitGroup
	for _, user := range users {
		all.Go(func() {
			err := t.get(ctx, user)
			t.note(user, at, time.Since(t.start)-at, err)
		})
	}
	all.Wait()
}

// note notes what came of a request that was due then, and waited for so long.
func (t *trial) note(user int, at, wait time.Duration, err error) {
	if err != nil {
		wait = min(wait, t.Deadline) // x/oauth2 goes on, but its caller has left
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	lacks := &t.lacks[user]
	switch end := at + wait; {
	case err == nil:
		t.lacked(min(*lacks, at), end)
		*lacks = never
		if t.had[user] == never {
			t.hadNone--
			t.allHad = end
		}
		t.had[user] = end
	case t.had[user] == never || t.had[user] < end: // a late word of x/oauth2's does not count
		*lacks = min(*lacks, at)
	}
	if at < t.from {
		return
	}
	t.requests++
	if wait > 0 {
		t.waits = append(t.waits, wait)
	}
	switch {
	case err == nil:
	case wait < t.Deadline:
		t.failed++
	default:
		t.left++
	}
}

// lacked notes for how long a user asked for a token until he had one, as far as that is counted.
func (t *trial) lacked(since, until time.Duration) {
	t.longest = max(t.longest, until-max(since, t.from))
}

// result sums up. begun is when each login began.
func (t *trial) result(begun []time.Duration) result {
	r := result{
		Scene:      t.scene.name,
		Load:       t.percent,
		Users:      len(t.users),
		Contestant: t.contestant.name,
		Requests:   t.requests,
		Waited:     len(t.waits),
		Failed:     t.failed,
		Left:       t.left,
	}
	if t.hadNone == 0 {
		r.AllHad = t.allHad
	}
	for _, since := range t.lacks {
		t.lacked(since, t.Length)
	}
	r.Lacked = t.longest
	slices.Sort(t.waits)
	r.Median, r.P99 = quantile(t.waits, 0.5), quantile(t.waits, 0.99)
	r.Longest = quantile(t.waits, 1)
	for _, at := range begun {
		if t.from <= at && at < t.Length {
			r.Logins++
		}
	}
	lives := float64(r.Users) * float64(t.Length-t.from) / float64(usableLife)
	r.LoginsPerLife = float64(r.Logins) / lives
	return r
}
