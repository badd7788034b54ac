package lookerauth

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// Stats says what a [Cache] holds now, and counts what it did since it was made. It is comparable.
//
// Logins and callers are counted apart, as one failed login may be the error of many. A caller who
// is refused at once, by a hold-down or during a pause, is in WaitsFailed, and is no login. A login
// that failed once Logout or Close had discarded its result is in none of these figures; nor is a
// caller who gets [ErrClosed], or whose identity nobody can have.
//
// Users who wait for the service account's login are neither in flight nor queued, and that wait is
// not in LoginTime, unless a call was made for them before.
type Stats struct {
	Users          int    // users whose token is kept, usable or not
	MaxUsers       int    // Config.MaxUsers: how many there can be
	LoginsInFlight int    // logins that have one of the Config.MaxConcurrentLogins slots now
	LoginsQueued   int    // logins that wait for a slot now, or for the end of a pause
	Logins         uint64 // granted logins, in all

	ServiceAccount LoginStats // of login
	UserLogins     LoginStats // of login_user, or of Config.UserToken

	LoginTime time.Duration // of all logins, failed ones too, each from its turn to its end

	// Callers for whom there was no usable token, by how that ended. A request that was rejected,
	// and gets no other token, counts, too: its caller has that 401.
	WaitsServed uint64 // they got one
	WaitsFailed uint64 // they got the error of a login: their own, another's, or an earlier one
	WaitsLeft   uint64 // their context ended first

	// Joins are callers who got the result of a login under way when they came, and users' logins
	// that got the service account's so.
	Joins uint64

	Rejections    uint64 // tokens invalidated: by a 401, or by TokenSource.Invalidate
	Replays       uint64 // requests sent a second time after a 401
	Evictions     uint64 // users pushed out by more recent ones
	LiveEvictions uint64 // of them, those whose token could still be used
	Logouts       uint64 // tokens logged out at Looker
	FailedLogouts uint64 // tokens that could not be, and may live until they expire

	StoreHits      uint64 // tokens taken from the Store, each of which saved a login
	StoreErrors    uint64 // operations of the Store that failed or took too long
	StoreUnopened  uint64 // values from the Store that did not open
	StoreAhead     uint64 // tokens from the Store whose login lies in the future
	StoreLeftAlone bool   // the Store is not asked now, as it has just failed
}

// LoginStats counts logins. A login is in the background if it was begun to replace an aging token,
// and no caller has waited for it, be it one who left. A user's login that waits for the service
// account's is a caller of that.
type LoginStats struct {
	Granted       uint64        // for callers who waited; AfterLogin succeeded, too
	Refreshed     uint64        // likewise, in the background
	Failed        LoginFailures // for callers who waited; after all their tries
	RefreshFailed LoginFailures // in the background; the old token may be usable yet
}

// LoginFailures counts failed logins by the reason of their last try.
type LoginFailures struct {
	Refused     uint64 // Looker said no to the API key, or to acting as the user: any other 4xx
	NotFound    uint64 // Looker knows no such user: ErrUserNotFound
	RateLimited uint64 // Looker answered 429
	Unavailable uint64 // no answer, none in time, or a 5xx, whoever sent that
	Other       uint64 // not Looker's answer; a function in the Config failed; a panic
}

// reason is why a call of ours failed: a field of LoginFailures, and of FailureTimes.
type reason int

const (
	refused reason = iota
	notFound
	rateLimited
	unavailable
	otherReason
	reasons // how many there are
)

// String is the attribute "reason" of events.
func (r reason) String() string {
	return [reasons]string{"refused", "not_found", "rate_limited", "unavailable", "other"}[r]
}

// reasonOf returns why the call failed.
func reasonOf(failed *CallError) reason {
	switch status := failed.StatusCode; {
	case failed.isUsers():
		return otherReason
	case status == http.StatusTooManyRequests:
		return rateLimited
	case status >= 500 || errors.Is(failed.Err, errNoAnswer) || failed.Timeout():
		return unavailable
	case status < 400 || errors.Is(failed.Err, ErrNotLooker):
		return otherReason
	case errors.Is(failed.Err, ErrUserNotFound):
		return notFound
	}
	return refused
}

// counts are what is counted of Stats.
type counts struct {
	serviceAccount, userLogins loginCounts
	loginTime                  atomic.Int64 // nanoseconds

	waitsServed, waitsFailed, waitsLeft, joins atomic.Uint64
	rejections, replays                        atomic.Uint64
	evictions, liveEvictions                   atomic.Uint64
	logouts, failedLogouts                     atomic.Uint64
	storeHits, storeErrors                     atomic.Uint64
	storeUnopened, storeAhead                  atomic.Uint64
}

// loginCounts is a LoginStats that is being counted, and failureCounts a LoginFailures.
type loginCounts struct {
	granted, refreshed    atomic.Uint64
	failed, refreshFailed failureCounts
}

type failureCounts [reasons]atomic.Uint64

func (c *loginCounts) stats() LoginStats {
	return LoginStats{
		Granted:       c.granted.Load(),
		Refreshed:     c.refreshed.Load(),
		Failed:        c.failed.stats(),
		RefreshFailed: c.refreshFailed.stats(),
	}
}

func (c *failureCounts) stats() LoginFailures {
	return LoginFailures{
		Refused:     c[refused].Load(),
		NotFound:    c[notFound].Load(),
		RateLimited: c[rateLimited].Load(),
		Unavailable: c[unavailable].Load(),
		Other:       c[otherReason].Load(),
	}
}

// stats returns the counts.
func (c *counts) stats() Stats {
	service, users := c.serviceAccount.stats(), c.userLogins.stats()
	return Stats{
		Logins:         service.Granted + service.Refreshed + users.Granted + users.Refreshed,
		ServiceAccount: service,
		UserLogins:     users,
		LoginTime:      time.Duration(c.loginTime.Load()),
		WaitsServed:    c.waitsServed.Load(),
		WaitsFailed:    c.waitsFailed.Load(),
		WaitsLeft:      c.waitsLeft.Load(),
		Joins:          c.joins.Load(),
		Rejections:     c.rejections.Load(),
		Replays:        c.replays.Load(),
		Evictions:      c.evictions.Load(),
		LiveEvictions:  c.liveEvictions.Load(),
		Logouts:        c.logouts.Load(),
		FailedLogouts:  c.failedLogouts.Load(),
		StoreHits:      c.storeHits.Load(),
		StoreErrors:    c.storeErrors.Load(),
		StoreUnopened:  c.storeUnopened.Load(),
		StoreAhead:     c.storeAhead.Load(),
	}
}

// logins counts the time that a login took, and returns where its end is counted.
func (c *counts) logins(who Identity, took time.Duration) *loginCounts {
	c.loginTime.Add(int64(took))
	if who.isUser() {
		return &c.userLogins
	}
	return &c.serviceAccount
}

// waited counts a caller for whom there was no usable token. err is what he got instead of one.
func (c *counts) waited(ctx context.Context, err error) {
	failed := errors.As(err, new(*CallError))
	switch {
	case err == nil:
		c.waitsServed.Add(1)
	case errors.Is(err, ErrClosed):
	case ctx.Err() != nil && !failed:
		c.waitsLeft.Add(1)
	default:
		c.waitsFailed.Add(1)
	}
}
