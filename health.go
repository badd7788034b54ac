package lookerauth

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lookerauth/lookerauth/internal/digest"
)

// Health says how logging in goes, from what the last logins showed: see [Cache.Health].
type Health struct {
	ServiceAccount LoginHealth   // of login; zero without an API key
	Users          LoginHealth   // of login_user and its look-up, or of UserToken
	TokenLife      time.Duration // for which the service account's token can be used; 0 without one
}

// LoginHealth says how logins of one kind go. They fail generally if the service account's do, or
// two users' for the same reason with no granted login in between, but for users that Looker does
// not know. They go well again once a login was granted, and none has failed so for a minute.
type LoginHealth struct {
	LastSuccess  time.Time    // of a login, or of a token from the Store; zero without one
	FailingSince time.Time    // since when logins fail, generally; zero while they do not
	Reasons      FailureTimes // likewise for each reason, as there may be several
	Err          error        // the last of these failures; nil while there is none
}

// FailureTimes says since when logins fail, generally, by the reasons of [LoginFailures]: zero for
// one for which they do not. That Looker does not know a user is never general.
type FailureTimes struct{ Refused, RateLimited, Unavailable, Other time.Time }

// of returns the reason's; nil if that is never general.
func (t *FailureTimes) of(why reason) *time.Time {
	switch why {
	case refused:
		return &t.Refused
	case rateLimited:
		return &t.RateLimited
	case unavailable:
		return &t.Unavailable
	case otherReason:
		return &t.Other
	}
	return nil
}

// linePace is how long after a log line the next one of its kind comes, which has the number of all
// that happened since; and how long a cause has not been met when it is over.
const linePace = time.Minute

// quietPace is that for failed logins which harm nobody, or not in general: an incident may have
// several causes, and yet has to be read by people.
const quietPace = 5 * time.Minute

// failure is a failed login, or one that was refused during a pause.
type failure struct {
	failed   *CallError
	err      error // what callers get, around that
	waited   bool  // somebody does, or has left meanwhile
	holdDown time.Duration
}

// line is what a log line tells: the last of n failures. It is serious if logins fail generally and
// callers waited for one of them.
type line struct {
	failure
	n       int
	serious bool
}

// cause is an operation and a reason for which logins of it fail.
type cause struct {
	op      string
	reason  reason
	since   time.Time // when it was met first; if it is general, since when
	last    time.Time // when it was met last
	err     error     // that
	granted bool      // a login of the operation was, since then
	general bool      // it is nobody's own

	// met is who has met it first since a login of the operation was granted, and when. It is
	// nobody if none has, and once the cause is general.
	met      Identity
	metSince time.Time

	harmful bool // callers waited for such a login, and no line has told of that
	alarmed bool // a line was serious
	lines   *digest.Digest[failure]
}

// isSerious reports whether the next line is.
func (is *cause) isSerious() bool { return is.general && is.harmful }

// pace is how long after the last line the next one comes: at once if it is the first that is
// serious.
func (is *cause) pace() time.Duration {
	switch {
	case !is.isSerious():
		return quietPace
	case !is.alarmed:
		return 0
	}
	return linePace
}

// causes are those that are not over. There are at most as many as operations times reasons,
// whatever Looker answers. It is safe for concurrent use, and has no timer: whether a cause is over
// shows when somebody looks.
type causes struct {
	// quietSince is when one was met last that may soon be over, in nanoseconds; 0 if none may. It
	// is written under mu, and lets those who only look if there is one take no lock.
	quietSince atomic.Int64

	mu        sync.Mutex // guards what is below
	all       []*cause
	successes [2]time.Time // the last ones, of the service account's logins and of users'
}

// kind is the index of successes: of users, or of the service account.
func kind(users bool) int {
	if users {
		return 1
	}
	return 0
}

// isOf reports whether a login of this identity has the cause's operation in it.
func (is *cause) isOf(who Identity) bool {
	if is.op == opLookUp {
		return who.byCredential()
	}
	return who.isUser() == (is.op != opLogin)
}

// meet is told of a failure, and returns what to tell of now; of none if it is too early for that.
func (c *causes) meet(f failure, now time.Time) line {
	c.mu.Lock()
	defer c.mu.Unlock()
	why, who := reasonOf(f.failed), f.failed.Identity
	is := c.of(f.failed.Op, why, now)
	defer c.watch()
	is.last, is.err, is.granted = now, f.err, false
	is.harmful = is.harmful || f.waited
	switch {
	case is.general || why == notFound: // a wrong id is nobody else's
	case !who.isUser():
		is.general = true
	case is.met == Identity{}:
		is.met, is.metSince = who, now
	case is.met != who:
		is.general, is.since, is.met = true, is.metSince, Identity{}
	}
	return is.line(f, is.lines.AddEvery(is.pace(), f, now))
}

// of returns the cause, a new one if need be. mu is held, here and below.
func (c *causes) of(op string, why reason, now time.Time) *cause {
	for _, is := range c.all {
		if is.op == op && is.reason == why {
			return is
		}
	}
	is := &cause{op: op, reason: why, since: now, lines: digest.New[failure](linePace)}
	c.all = append(c.all, is)
	return is
}

// line is one that tells of n failures.
func (is *cause) line(last failure, n int) line {
	serious := is.isSerious()
	if n > 0 {
		is.alarmed = is.alarmed || serious
		is.harmful = false
	}
	return line{last, n, serious}
}

// isOver reports whether the cause was not met for a while, though logins were granted. If the
// clock was set back by more than that, nobody knows how long ago it was.
func (is *cause) isOver(now time.Time) bool {
	return is.granted && now.Sub(is.last).Abs() >= linePace
}

// succeed is told of a granted login.
func (c *causes) succeed(who Identity, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.watch()
	c.successes[kind(who.isUser())] = now
	for _, is := range c.all {
		if is.isOf(who) {
			is.granted, is.met = true, Identity{}
		}
	}
}

// watch sees to quietSince.
func (c *causes) watch() {
	var first int64
	for _, is := range c.all {
		if last := is.last.UnixNano(); is.granted && (first == 0 || last < first) {
			first = last
		}
	}
	c.quietSince.Store(first)
}

// mayEnd reports whether a cause is over that was not yet when somebody looked last. It costs
// nothing while there is none.
func (c *causes) mayEnd(now int64) bool {
	since := c.quietSince.Load()
	return since != 0 && time.Duration(now-since).Abs() >= linePace
}

// end forgets the causes that are over, and returns them.
func (c *causes) end(now time.Time) (over []*cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.watch()
	c.all = slices.DeleteFunc(c.all, func(is *cause) bool {
		if is.isOver(now) {
			over = append(over, is)
			return true
		}
		return false
	})
	return over
}

// rest returns what no line has told of.
func (c *causes) rest() (lines []line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, is := range c.all {
		if last, n := is.lines.Rest(); n > 0 {
			lines = append(lines, is.line(last, n))
		}
	}
	return lines
}

// health is what the causes and the last logins show.
func (c *causes) health(now time.Time) Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	var kinds [2]LoginHealth
	var last [2]time.Time
	for i := range kinds {
		kinds[i].LastSuccess = c.successes[i]
	}
	for _, is := range c.all {
		if !is.general || is.isOver(now) {
			continue
		}
		i := kind(is.op != opLogin)
		h := &kinds[i]
		for _, since := range []*time.Time{&h.FailingSince, h.Reasons.of(is.reason)} {
			if since.IsZero() || is.since.Before(*since) {
				*since = is.since
			}
		}
		if h.Err == nil || is.last.After(last[i]) {
			h.Err, last[i] = is.err, is.last
		}
	}
	return Health{ServiceAccount: kinds[0], Users: kinds[1]}
}
