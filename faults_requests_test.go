package lookerauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

const (
	forbidden   = "/forbidden" // answers 401, whoever asks
	delayHeader = "X-Delay"    // how long Looker takes for a request

	longestUpload = 900 * time.Millisecond // a replay waits for a second until it can rewind it
)

// errLeft is why a caller leaves.
var errLeft = errors.New("the caller has left")

func isPoller(userID string) bool {
	for i := range faultPollers {
		if userID == nthUser(i) {
			return true
		}
	}
	return false
}

// visit is one request.
type visit struct {
	userID   string
	patience time.Duration // when it is over the caller leaves
	limited  bool          // whether it may have to wait for a connection
	upload   *upload       // nil: there is nothing to send
	delay    time.Duration // how long Looker takes for it

	start, end time.Time
	left       bool // whether the caller had left then
}

// isPatient reports whether it waits long enough to be answered whenever there is a token.
func (v *visit) isPatient() bool { return v.patience == faultPatient }

// worker is one caller after the other.
type worker struct {
	day     *badDay
	cache   *lookerauth.Cache
	client  *http.Client
	limited bool
}

// work is what one caller does.
func (w *worker) work() {
	d := w.day
	// A third of the users get most of the requests.
	n := d.intN(faultUsers)
	if d.chance(70) {
		n %= faultUsers / 3
	}
	userID := nthUser(n)
	switch event := d.intN(2000); {
	case event == 0:
		d.revoke(lookertest.ServiceAccountID)
	case isPoller(userID): // another reason for a 401 would hide that none is due
	case event < 10:
		d.revoke(userID)
	case event < 20:
		d.logOut(w.cache, userID)
	case event < 30 && w.limited:
		w.crowd(userID)
	}
	v := &visit{userID: userID, limited: w.limited}
	v.patience = time.Millisecond << d.intN(12) // to 2 s
	if d.chance(30) {
		v.patience = faultPatient
	}
	if v.isPatient() && d.chance(50) {
		v.delay = d.upTo(faultDelay)
	}
	if d.chance(40) {
		v.upload = newUpload(d, d.chance(50))
	}
	d.request(w.client, v)
	time.Sleep(time.Duration(d.intN(400)) * time.Millisecond)
}

// crowd has more requests rejected at once than there are connections, one of which the login
// needs.
func (w *worker) crowd(userID string) {
	w.day.revoke(userID)
	together(faultConns+2, func(i int) {
		v := &visit{userID: userID, patience: faultPatient, limited: true}
		if i%2 == 0 {
			v.upload = newUpload(w.day, true)
		}
		w.day.request(w.client, v)
	})
}

// poll asks where everybody gets a 401.
func (d *badDay) poll(client *http.Client, userID string) {
	time.Sleep(500*time.Millisecond + d.upTo(time.Second))
	v := &visit{userID: userID, patience: faultPatient, limited: true}
	status, _ := d.send(client, v, forbidden)
	if status != 0 && status != http.StatusUnauthorized {
		d.t.Errorf("an endpoint that answers 401 to all answered %d", status)
	}
}

// request sends a request, and checks its answer.
func (d *badDay) request(client *http.Client, v *visit) {
	status, body := d.send(client, v, "/looks")
	switch status {
	case 0:
		return
	case http.StatusUnauthorized:
		d.checkRejected(v)
		return
	}
	var a answer
	err := json.Unmarshal(body, &a)
	if a.UserID != v.userID || err != nil {
		d.t.Errorf("a request of user %s was answered %d as user %q, %v",
			v.userID, status, a.UserID, err)
	}
	if v.upload != nil && a.Body != v.upload.text {
		d.t.Errorf("%q arrived as %q", v.upload.text, a.Body)
	}
}

// send sends a request. If it fails, the status is 0, and the failure as it should be.
func (d *badDay) send(client *http.Client, v *visit, path string) (status int, body []byte) {
	v.start = time.Now()
	d.used(v.userID)
	ctx := lookerauth.WithIdentity(d.t.Context(), d.kind.who(v.userID))
	ctx, cancel := context.WithTimeoutCause(ctx, v.patience, errLeft)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, d.looker.URL+"/api/4.0"+path, nil)
	req.Header.Set(delayHeader, v.delay.String())
	if v.upload != nil {
		v.upload.addTo(req)
	}
	resp, err := client.Do(req)
	v.end, v.left = time.Now(), ctx.Err() != nil
	if v.end.Sub(v.start) > v.patience {
		d.t.Errorf("a caller with %v left after %v", v.patience, v.end.Sub(v.start))
	}
	if err != nil {
		d.checkFailure(v, err)
		return 0, nil
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil && !v.left { // a 401 is cut when the caller leaves
		d.t.Errorf("user %s got half an answer: %v", v.userID, err)
	}
	return resp.StatusCode, body
}

// checkFailure looks for the reason for a failure, which is none while there is a token.
func (d *badDay) checkFailure(v *visit, err error) {
	var failed *lookerauth.CallError
	switch {
	case errors.Is(err, errLeft) && v.left:
	case errors.As(err, &failed):
	default:
		d.t.Errorf("a request of user %s failed otherwise than in its login: %v", v.userID, err)
	}
	time.Sleep(time.Nanosecond) // until events were noted
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.failed++
	if v.left {
		d.counts.left++
	}
	identity := d.identity(v.userID)
	if !identity.wasUsable(v, d.clock.Now()) || d.stepped.After(v.start) {
		return
	}
	// An upload takes a while. Connections may be in use, for as long as Looker takes for others.
	isSlow := v.upload != nil || v.limited
	if v.left && (isSlow && !v.isPatient() || v.limited && d.hanging.After(v.start)) {
		return
	}
	d.t.Errorf("at %v user %s has a usable token, but the request failed after %v: %v",
		v.end, v.userID, v.end.Sub(v.start), err)
}

// checkRejected looks for the reason for a 401: only a token that Looker has ended gets one, and
// only a caller who has left, whose login failed, or whose token was ended again too soon keeps it.
func (d *badDay) checkRejected(v *visit) {
	time.Sleep(time.Nanosecond) // until events were noted
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.failed++
	d.counts.rejected++
	identity, service := d.identity(v.userID), d.identity(lookertest.ServiceAccountID)
	// It may have been a token before: the 401 is handed out once the request's body is free.
	dead := identity.isDead(v.end) || !identity.ended.Before(v.start)
	if v.upload != nil && !v.upload.isRewindable {
		if !dead {
			d.t.Errorf("at %v an upload of user %s got a 401, but nothing has ended its token",
				v.end, v.userID)
		}
		return
	}
	switch {
	case v.left, identity.mayHaveFailed(v), service.mayHaveFailed(v):
	case dead && identity.mayWait(v.end, d.stepped):
		d.counts.waited++
	default:
		d.t.Errorf("at %v a request of user %s got a 401, and should have been sent again with "+
			"another token: %+v", v.end, v.userID, *identity)
	}
}

// upload is what a request sends: a text that all its bodies read through one position.
type upload struct {
	day          *badDay
	text         string
	isRewindable bool // whether it has GetBody

	reads  atomic.Int32 // under way
	bodies atomic.Int32 // there were so many
	rest   *strings.Reader
	slow   time.Duration // what the end of a body takes
}

func newUpload(d *badDay, isRewindable bool) *upload {
	text := strings.Repeat(nthUser(d.intN(1000)), 1+d.intN(4000))
	return &upload{
		day: d, text: text, isRewindable: isRewindable,
		rest: strings.NewReader(text), slow: d.upTo(longestUpload),
	}
}

// addTo makes a request one that sends the text.
func (u *upload) addTo(req *http.Request) {
	req.Method, req.ContentLength = http.MethodPut, int64(len(u.text))
	req.Body = &uploadBody{u, u.bodies.Add(1)}
	if u.isRewindable {
		req.GetBody = u.rewind
	}
}

func (u *upload) rewind() (io.ReadCloser, error) {
	if u.reads.Load() > 0 {
		u.day.t.Error("a body is rewound while somebody reads it")
	}
	_, err := u.rest.Seek(0, io.SeekStart)
	return &uploadBody{u, u.bodies.Add(1)}, err
}

// uploadBody is one of an upload's bodies.
type uploadBody struct {
	upload *upload
	nth    int32
}

func (b *uploadBody) Read(p []byte) (int, error) {
	u := b.upload
	u.reads.Add(1)
	defer u.reads.Add(-1)
	if b.nth != u.bodies.Load() {
		u.day.t.Error("a body is read that was rewound for the next one")
	}
	n, err := u.rest.Read(p)
	if err == io.EOF {
		time.Sleep(u.slow) // Looker answers meanwhile, as it has got everything
	}
	return n, err
}

func (b *uploadBody) Close() error { return nil }
