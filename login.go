package lookerauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/semaphore"
)

const (
	opLogin     = "login"
	opLoginUser = "login_user"
	opLogout    = "logout"

	maxTries     = 3                      // calls for one login; a refresh in the background has one
	firstBackoff = 100 * time.Millisecond // before the second try; doubled for each further one, then jittered
	maxAnswer    = 64 << 10               // bytes read of an answer; Looker's have less than 1 KiB
	maxMessage   = 200                    // bytes kept of Looker's message
	maxUserID    = 255                    // bytes
	maxLife      = 24 * time.Hour         // of a token, and of a Retry-After; Looker's tokens live one hour by default
)

// api makes Looker's three authentication calls. It is safe for concurrent use.
type api struct {
	root        string // BaseURL and version, without a slash at the end
	userQuery   string // of login_user, with its question mark
	credentials func(context.Context) (clientID, clientSecret string, err error)
	transport   http.RoundTripper // not an http.Client: that would follow redirects, and send the key on
	clock       Clock
	logins      *semaphore.Weighted // one for each login in flight; never held while waiting for anything else
	logouts     *semaphore.Weighted // likewise; apart, so that logouts nobody waits for cannot hold up logins

	mu       sync.Mutex // guards what is below
	resume   time.Time  // Looker has asked for no login before this
	clientID string     // of the last login that Looker let in, or else the one to log in with; "" if none is known
}

func newAPI(cfg Config) *api {
	a := &api{
		root:        cfg.BaseURL + "/api/" + cfg.APIVersion,
		credentials: cfg.Credentials,
		transport:   cfg.Transport,
		clock:       cfg.Clock,
		logins:      semaphore.NewWeighted(int64(cfg.MaxConcurrentLogins)),
		logouts:     semaphore.NewWeighted(int64(cfg.MaxConcurrentLogins)),
	}
	if cfg.NonAssociative {
		a.userQuery = "?associative=false"
	}
	return a
}

// effort is how long and how often to try.
type effort struct {
	until time.Time // on the Clock; nothing is waited for that would end later
	tries int
}

// grant is what a successful login answers.
type grant struct {
	accessToken string
	tokenType   string
	sent        time.Time     // when the request was sent: the token's life starts here
	life        time.Duration // positive
}

// header is the Authorization header, as Looker documents it.
func (g grant) header() string { return "token " + g.accessToken }

// login asks for a token of the service account.
func (a *api) login(ctx context.Context, e effort) (g grant, err error) {
	err = a.retry(ctx, e, func() error {
		clientID, clientSecret, err := a.credentials(ctx)
		if err != nil {
			return &LoginError{Op: opLogin, Err: fmt.Errorf("no API key: %w", err)}
		}
		c := &call{
			op:      opLogin,
			method:  http.MethodPost,
			url:     a.root + "/login",
			form:    url.Values{"client_id": {clientID}, "client_secret": {clientSecret}}.Encode(),
			secrets: []string{clientSecret, clientID},
		}
		g, err = a.grant(ctx, e, c)
		if err == nil {
			a.setAccount(clientID)
		}
		return err
	})
	return g, err
}

// setAccount keeps the client id. Until Looker has let a new one in, the users' tokens are minted by the old one's account.
func (a *api) setAccount(clientID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clientID = clientID
}

// knowsAccount reports whether account need not ask.
func (a *api) knowsAccount() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.clientID != ""
}

// account returns the client id of the API key that is in use, and asks for one only if none is known.
func (a *api) account(ctx context.Context) (clientID string, err error) {
	a.mu.Lock()
	clientID = a.clientID
	a.mu.Unlock()
	if clientID != "" {
		return clientID, nil
	}
	clientID, _, err = a.credentials(ctx)
	if err != nil {
		return "", err
	}
	a.setAccount(clientID)
	return clientID, nil
}

// loginUser asks for a token of userID's, which must be valid. authorization is the service account's header.
func (a *api) loginUser(ctx context.Context, e effort, userID, authorization string) (g grant, err error) {
	c := &call{
		op:            opLoginUser,
		userID:        userID,
		method:        http.MethodPost,
		url:           a.root + "/login/" + url.PathEscape(userID) + a.userQuery,
		authorization: authorization,
		secrets:       []string{bearer(authorization)},
	}
	err = a.retry(ctx, e, func() error {
		g, err = a.grant(ctx, e, c)
		return err
	})
	return g, err
}

// logout kills the token in authorization. A token that is dead already is a success.
func (a *api) logout(ctx context.Context, e effort, userID, authorization string) error {
	c := &call{
		op:            opLogout,
		userID:        userID,
		method:        http.MethodDelete,
		url:           a.root + "/logout",
		authorization: authorization,
		secrets:       []string{bearer(authorization)},
	}
	return a.retry(ctx, e, func() error {
		if err := a.logouts.Acquire(ctx, 1); err != nil {
			return c.failed(context.Cause(ctx))
		}
		defer a.logouts.Release(1)
		ans, err := a.send(ctx, c)
		if err != nil {
			return err
		}
		switch ans.status {
		case http.StatusOK, http.StatusNoContent, http.StatusUnauthorized, http.StatusNotFound:
			return nil
		}
		return c.refused(ans, a.clock.Now())
	})
}

// validateUserID refuses what cannot be sent as one path segment, or would name another endpoint.
func validateUserID(userID string) error {
	if userID == "" || userID == "." || userID == ".." || len(userID) > maxUserID ||
		strings.ContainsFunc(userID, unicode.IsControl) {
		return ErrInvalidUserID
	}
	return nil
}

// retry runs try until it succeeds, fails for good, or the effort is spent.
func (a *api) retry(ctx context.Context, e effort, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		var failed *LoginError
		if !errors.As(err, &failed) || !failed.passing() {
			return err
		}
		a.pause(failed.RetryAfter)
		backoff := firstBackoff << (n - 1)
		backoff += rand.N(backoff)
		if n >= e.tries || !a.sleep(ctx, e, max(backoff, failed.RetryAfter)) {
			return err
		}
	}
}

// pause keeps every login back for d.
func (a *api) pause(d time.Duration) {
	resume := a.clock.Now().Round(0).Add(d)
	a.mu.Lock()
	defer a.mu.Unlock()
	if resume.After(a.resume) {
		a.resume = resume
	}
}

// awaitTurn waits until logins are not paused and a slot is free, which it takes. It fails at once if the pause is longer than
// the effort.
func (a *api) awaitTurn(ctx context.Context, e effort, c *call) error {
	for {
		for left := a.paused(); left > 0; left = a.paused() {
			if a.sleep(ctx, e, left) {
				continue
			}
			if ctx.Err() != nil {
				return c.failed(context.Cause(ctx))
			}
			return &LoginError{
				Op: c.op, UserID: c.userID, StatusCode: http.StatusTooManyRequests, RetryAfter: left, Err: ErrRateLimited,
			}
		}
		if err := a.logins.Acquire(ctx, 1); err != nil {
			return c.failed(context.Cause(ctx))
		}
		if a.paused() <= 0 {
			return nil
		}
		a.logins.Release(1) // the pause began while this login was in the queue
	}
}

// paused returns for how much longer logins are paused; 0 or less if they are not.
func (a *api) paused() time.Duration {
	now := a.clock.Now().Round(0)
	a.mu.Lock()
	defer a.mu.Unlock()
	left := a.resume.Sub(now)
	if left > maxLife { // the clock was set back since
		return 0
	}
	return left
}

// sleep waits for d, and reports whether that was possible before the effort's or the context's end.
func (a *api) sleep(ctx context.Context, e effort, d time.Duration) bool {
	if a.clock.Now().Add(d).After(e.until) {
		return false
	}
	select {
	case <-a.clock.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// call is one call on the wire.
type call struct {
	op, userID    string
	method, url   string
	form          string   // the body, if there is one
	authorization string   // the header, if there is one
	secrets       []string // to keep out of errors
}

// answer is what came back, with the time at which the request was sent.
type answer struct {
	status int
	header http.Header
	body   []byte
	sent   time.Time
}

// send makes the call. The caller has taken a slot.
func (a *api) send(ctx context.Context, c *call) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, strings.NewReader(c.form))
	if err != nil {
		return answer{}, c.failed(c.scrubError(err))
	}
	req.Header.Set("Accept", "application/json")
	if c.form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.authorization != "" {
		req.Header.Set("Authorization", c.authorization)
	}
	sent := a.clock.Now()
	resp, err := a.transport.RoundTrip(req)
	if err != nil {
		return answer{}, c.noAnswer(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, c.noAnswer(ctx, err)
	}
	return answer{resp.StatusCode, resp.Header, body, sent}, nil
}

// grant makes the call when it is its turn, and reads the token from the answer.
func (a *api) grant(ctx context.Context, e effort, c *call) (grant, error) {
	if err := a.awaitTurn(ctx, e, c); err != nil {
		return grant{}, err
	}
	defer a.logins.Release(1)
	ans, err := a.send(ctx, c)
	if err != nil {
		return grant{}, err
	}
	if ans.status != http.StatusOK {
		return grant{}, c.refused(ans, a.clock.Now())
	}
	g, err := parseGrant(ans)
	if err != nil {
		return grant{}, &LoginError{Op: c.op, UserID: c.userID, StatusCode: ans.status, Err: err}
	}
	return g, nil
}

// parseGrant trusts nothing: anyone between here and Looker may have answered.
func parseGrant(ans answer) (grant, error) {
	var fields struct {
		AccessToken string  `json:"access_token"`
		TokenType   string  `json:"token_type"`
		ExpiresIn   float64 `json:"expires_in"` // seconds
	}
	if err := json.Unmarshal(ans.body, &fields); err != nil {
		return grant{}, fmt.Errorf("its body is not an access token in JSON: %w", ErrNotLooker)
	}
	if !isHeaderToken(fields.AccessToken) {
		return grant{}, fmt.Errorf("its access_token is missing or malformed: %w", ErrNotLooker)
	}
	life := time.Duration(min(fields.ExpiresIn, maxLife.Seconds()) * float64(time.Second))
	if life <= 0 {
		return grant{}, fmt.Errorf("its expires_in is not a positive number: %w", ErrNotLooker)
	}
	return grant{fields.AccessToken, fields.TokenType, ans.sent, life}, nil
}

// isHeaderToken reports whether s can be the second word of an Authorization header: visible ASCII only.
func isHeaderToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// failed is the error of a call that was not made, or whose failure says nothing of Looker's health.
func (c *call) failed(cause error) *LoginError {
	return &LoginError{Op: c.op, UserID: c.userID, Err: cause}
}

// afterLoginFailed is the error of a login that Looker granted and AfterLogin failed. What that says may quote the token.
func afterLoginFailed(op, userID, accessToken string, cause error) *LoginError {
	c := &call{op: op, userID: userID, secrets: []string{accessToken}}
	return c.failed(fmt.Errorf("AfterLogin: %w", c.scrubError(cause)))
}

// noAnswer is the error of a call that was sent and not answered in full.
func (c *call) noAnswer(ctx context.Context, cause error) *LoginError {
	if ctx.Err() != nil {
		return c.failed(context.Cause(ctx))
	}
	return c.failed(fmt.Errorf("%w: check that the base URL is right and reachable: %w", errNoAnswer, c.scrubError(cause)))
}

// refused is the error for an answer other than success.
func (c *call) refused(ans answer, now time.Time) *LoginError {
	e := &LoginError{Op: c.op, UserID: c.userID, StatusCode: ans.status, Message: c.message(ans.body)}
	switch {
	case ans.status == http.StatusTooManyRequests:
		e.Err, e.RetryAfter = ErrRateLimited, parseRetryAfter(ans.header.Get("Retry-After"), now)
	case ans.status >= 500:
		e.Err = errors.New("the server, or a proxy before it, is not well: try again later")
	case ans.status >= 300 && ans.status < 400:
		e.Err = fmt.Errorf("a redirect, which the API key must not follow: %w", ErrNotLooker)
	case e.Message == "": // Looker's own errors always have one
		e.Err = ErrNotLooker
	case c.op == opLogin && (ans.status == http.StatusNotFound || ans.status == http.StatusUnauthorized):
		e.Err = ErrBadCredentials
	case c.op == opLoginUser && ans.status == http.StatusForbidden:
		e.Err = ErrForbidden
	case c.op == opLoginUser && ans.status == http.StatusNotFound:
		e.Err = ErrUserNotFound
	}
	return e
}

// message is the message of Looker's error, or "" if the body is not one of Looker's errors.
func (c *call) message(body []byte) string {
	var fields struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &fields) != nil {
		return ""
	}
	message := c.scrub(fields.Message) // before it is cut: a piece of a secret would not be found
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage
	for !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + "…"
}

// scrub replaces every secret of the call in s, as it is and as forms and URLs encode it.
func (c *call) scrub(s string) string {
	for _, secret := range c.secrets {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			if form != "" {
				s = strings.ReplaceAll(s, form, "[secret]")
			}
		}
	}
	return s
}

// scrubError returns err with the call's secrets kept out of its text.
func (c *call) scrubError(err error) error {
	if text := c.scrub(err.Error()); text != err.Error() {
		return &scrubbedError{text, err}
	}
	return err
}

// scrubbedError is an error whose own text would tell a secret.
type scrubbedError struct {
	text string
	err  error
}

func (e *scrubbedError) Error() string        { return e.text }
func (e *scrubbedError) Is(target error) bool { return errors.Is(e.err, target) }

// parseRetryAfter reads seconds or an HTTP date; 0 if the header has neither.
func parseRetryAfter(header string, now time.Time) time.Duration {
	if header != "" && strings.Trim(header, "0123456789") == "" {
		seconds, _ := strconv.ParseUint(header, 10, 64) // the largest number if it is too large
		return time.Duration(min(seconds, uint64(maxLife/time.Second))) * time.Second
	}
	date, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxLife)
}

// bearer is the token in an Authorization header.
func bearer(authorization string) string {
	_, token, _ := strings.Cut(authorization, " ")
	return token
}
