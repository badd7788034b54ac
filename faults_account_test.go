package lookerauth_test

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// dayCounts is what happened on a bad day.
type dayCounts struct {
	requests    int
	failed      int // requests that got no answer from Looker, or a 401
	left        int // of them, those whose callers left
	rejected    int // of them, those that got a 401
	waited      int // of them, those of a token that was ended too soon after another one
	revocations int
	steps       int // of the clock

	// ideal is the number of logins that a perfect cache would need, which lives by the same clock
	// and loses the same tokens to rejection, eviction and Logout.
	ideal int
}

// tracked is what is known of one identity. Times are true, if they are not said to be the clock's.
type tracked struct {
	since    time.Time // the last change of whether there is a token
	held     bool      // whether there is one
	issued   time.Time // when the last one was
	sent     time.Time // likewise, by the clock; the life counts from a little before
	revoked  time.Time // when Looker was last told to end one
	failing  bool      // whether the last login failed
	ended    time.Time // when a token was last served or sent that Looker has ended, for a reason
	rejected time.Time // when one was last taken out of service for a 401

	faulted time.Time // when one of its logins last met a fault
	left    bool      // whether it was evicted, or a login's result discarded
	logouts int       // of tokens that Looker accepted
	mayEnd  bool      // whether Logout was called

	strikes    int       // tokens that were rejected, for whatever reason, or may have been
	struck     time.Time // when the last of them was issued
	rejections int       // of tokens that Looker accepts
	expiries   int       // rejections of tokens that Looker has let expire
	idealSent  time.Time // when a perfect cache last needed a login, by the clock
}

// lose is the end of the identity's token, or of an earlier one.
func (i *tracked) lose(now time.Time) { i.since, i.held, i.idealSent = now, false, time.Time{} }

// mayHaveFailed reports whether a login failed during the visit, or before and none has succeeded
// since. The failure may be told later, as one of many.
func (i *tracked) mayHaveFailed(v *visit) bool { return i.failing || !i.faulted.Before(v.start) }

// isDead reports whether Looker has ended the last token.
func (i *tracked) isDead(now time.Time) bool {
	return i.isRevoked() || now.Sub(i.issued) >= faultLife
}

// isRevoked reports whether Looker has been told to end the last token.
func (i *tracked) isRevoked() bool { return i.revoked.After(i.issued) }

// strike counts a token that was rejected, or may have been, once.
func (i *tracked) strike() {
	if i.strikes == 0 || !i.struck.Equal(i.issued) {
		i.strikes, i.struck = i.strikes+1, i.issued
	}
}

// mayWait reports whether the last token, if Looker has ended it, may be left in service yet, as
// the one before was rejected a short time ago: for 10 s, doubled by each further token that was
// rejected, whether it was replaced for that or not, unless a replay has succeeded since. Events do
// not tell that, so all count that may have been.
func (i *tracked) mayWait(now, stepped time.Time) bool {
	longest := min(10*time.Second<<min(max(i.strikes-1, 0), 6), 10*time.Minute)
	return i.strikes > 0 && (now.Sub(i.rejected) < longest || stepped.After(i.rejected))
}

// wasUsable reports whether the identity had one token that was usable throughout the visit, by the
// clock, too.
func (i *tracked) wasUsable(v *visit, clock time.Time) bool {
	const usable = faultUsable - faultTimeout // the login was answered as much later, at most
	return i.held && i.since.Before(v.start) && !i.isRevoked() &&
		v.end.Sub(i.issued) < usable && clock.Sub(i.sent) < usable
}

// identity is what is known of it. mu is held.
func (d *badDay) identity(userID string) *tracked {
	if d.identities[userID] == nil {
		d.identities[userID] = &tracked{}
	}
	return d.identities[userID]
}

// faulted is a login that meets this fault.
func (d *badDay) faulted(userID string, fault lookertest.Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.identity(userID).faulted = time.Now()
	if fault.Delay > faultTimeout {
		d.hanging = time.Now().Add(faultTimeout)
	}
}

// loggedOut is a logout on that day; the user of a token that has ended is "".
func (d *badDay) loggedOut(userID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if userID != "" && !d.isOver {
		d.identity(userID).logouts++
	}
}

// used counts what a perfect cache would need for a request now: a login whenever the last one's
// token is not fresh, or gone.
func (d *badDay) used(userID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.requests++
	d.idealLogin(userID, d.clock.Now())
}

// idealLogin counts the login of an identity if it needs one, and that of the service account for
// it. mu is held.
func (d *badDay) idealLogin(userID string, clock time.Time) {
	identity := d.identity(userID)
	age := clock.Sub(identity.idealSent)
	if age >= 0 && age < faultFresh {
		return
	}
	identity.idealSent = clock
	d.counts.ideal++
	if userID != lookertest.ServiceAccountID {
		d.idealLogin(lookertest.ServiceAccountID, clock)
	}
}

// note keeps account of an event of the Cache: these tell when an identity's token comes and goes.
func (d *badDay) note(_ context.Context, event slog.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isOver {
		return // Close has those told once more, by their number, that were told one by one
	}
	userID := lookertest.ServiceAccountID
	event.Attrs(func(attr slog.Attr) bool {
		who, ok := attr.Value.Any().(lookerauth.Identity)
		if ok && who != lookerauth.ServiceAccount() {
			_, userID, _ = strings.Cut(who.String(), ":")
		}
		return true
	})
	// It may be told later: those of a login are once it has ended, and so are those of the service
	// account's login in it.
	identity, now := d.identity(userID), event.Time
	message := strings.TrimPrefix(event.Message, "lookerauth: ")
	if now.Before(identity.issued) { // it was the token before
		if isEnd(message) && now.After(identity.ended) {
			identity.ended = now
		}
		if message == "token rejected" {
			identity.strikes++
			if now.After(identity.rejected) {
				identity.rejected = now
			}
		}
		return
	}
	switch message {
	case "logged in", "token refreshed":
		// A step while the login was under way makes the token older or younger than it is. If a
		// token was lost at the same moment, it may have been this one.
		isLost := !identity.held && identity.since.Equal(now)
		isDead := identity.isDead(now)
		if isDead { // the one before was served until now
			identity.ended = now
		}
		if identity.strikes > 0 && (isDead || isPoller(userID)) {
			identity.strike()
		}
		identity.since, identity.held = now, now.Sub(d.stepped) > faultTimeout && !isLost
		identity.issued, identity.sent = now, d.clock.Now()
		identity.failing = false
	case "login failed":
		identity.failing = true
		d.noteFailure(userID, event)
	case "token rejected":
		d.noteRejection(userID, identity, now)
		identity.lose(now)
		identity.rejected = now
		identity.strike()
	case "user evicted", "token discarded", "logged out":
		identity.left = identity.left || event.Message != "lookerauth: logged out"
		identity.lose(now)
		identity.ended = now
	}
}

// isEnd reports whether an event says that a token is ended at Looker.
func isEnd(message string) bool {
	return message == "user evicted" || message == "token discarded" || message == "logged out"
}

// noteFailure looks for a reason: a fault of the login, or of another that keeps a connection, or a
// service account's token that was ended too soon. mu is held.
func (d *badDay) noteFailure(userID string, event slog.Record) {
	const recent = 3 * faultTimeout // a login may wait for its turn and a connection
	paused := false                 // by another login's 429
	event.Attrs(func(attr slog.Attr) bool {
		paused = paused || attr.Key == "reason" && attr.Value.String() == "rate_limited"
		return true
	})
	if paused {
		return
	}
	identity, service := d.identity(userID), d.identity(lookertest.ServiceAccountID)
	if event.Time.Sub(identity.faulted) > recent && event.Time.Sub(service.faulted) > recent &&
		event.Time.After(d.hanging) && !service.mayWait(event.Time, d.stepped) {
		event.Attrs(func(attr slog.Attr) bool {
			d.t.Errorf("at %v a login failed that met no fault: %v", event.Time, attr)
			return true
		})
	}
}

// noteRejection looks for a reason: Looker was told to end the token, or has let it expire, which a
// clock that was set back did not show. Where everybody gets a 401 it is none. mu is held.
func (d *badDay) noteRejection(userID string, identity *tracked, now time.Time) {
	switch {
	case identity.isRevoked():
		identity.ended = now
	case now.Sub(identity.issued) >= faultLife:
		identity.ended = now
		identity.expiries++
	case isPoller(userID):
		identity.rejections++
	default:
		d.t.Errorf("at %v a token of user %s was rejected that Looker accepts", now, userID)
	}
}

// check compares the numbers with what was to be expected.
func (d *badDay) check(stats lookerauth.Stats) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.counts
	d.t.Logf("%+v; %+v", n, stats)
	if limit := 1.1 * float64(n.ideal); float64(stats.Logins) > limit {
		d.t.Errorf("%d logins, want %.0f at most", stats.Logins, limit)
	}
	for i := range faultPollers {
		d.checkPoller(nthUser(i))
	}
	// The service account's login may well be answered by something else than Looker a few times in
	// a row, which holds all users down for half a minute each time.
	if n.failed == 0 || n.failed > n.requests*9/10 {
		d.t.Errorf("%d of %d requests failed: no faults to learn from", n.failed, n.requests)
	}
}

// checkPoller compares how many tokens were replaced as an endpoint rejects all. Between the
// first two replacements lie 10 s, then twice as long each time, up to 10 min. A replay that
// succeeds lets that start anew: one of a token that had expired. A step of the clock may end one
// wait. mu is held.
func (d *badDay) checkPoller(userID string) {
	most := 1
	for wait, passed := 10*time.Second, time.Duration(0); ; wait = min(2*wait, 10*time.Minute) {
		if passed += wait; passed > *faultTime+faultPatient {
			break
		}
		most++
	}
	identity := d.identity(userID)
	most = most*(1+identity.expiries) + d.counts.steps
	d.t.Logf("user %s: %d rejections where all are rejected, want %d at most; %d of expired ones",
		userID, identity.rejections, most, identity.expiries)
	if identity.logouts > 0 && !identity.left {
		d.t.Errorf("%d tokens of user %s were logged out, which others may have been using",
			identity.logouts, userID)
	}
	if identity.rejections > most || identity.rejections == 0 {
		d.t.Errorf("the endpoint that rejects all had %d tokens of user %s replaced, "+
			"want %d at most", identity.rejections, userID, most)
	}
}
