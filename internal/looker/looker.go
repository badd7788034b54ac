// Package looker makes Looker's authentication calls, one on the wire each, and reads the answers:
// as tokens, or as what went wrong. It never tries twice, and no error of it holds a secret.
package looker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lookerauth/lookerauth/internal/token"
)

// Client makes the calls. It is safe for concurrent use.
type Client struct {
	root      string            // of the API, without a slash at the end
	userQuery string            // of login_user, with its question mark
	transport http.RoundTripper // not an http.Client: that would follow redirects with the key
	now       func() time.Time
	userAgent string   // the header
	secrets   *Secrets // which all errors are scrubbed of
}

// New makes a Client for the API at root, such as https://demo.looker.com:19999/api/4.0. Without
// associative, login_user asks for associative=false.
func New(
	root string, associative bool, transport http.RoundTripper, now func() time.Time,
	userAgent string,
) *Client {
	c := &Client{
		root: root, transport: transport, now: now, userAgent: userAgent, secrets: NewSecrets(),
	}
	if !associative {
		c.userQuery = "?associative=false"
	}
	return c
}

const (
	// keyLife is how long a key is a secret after it was last used. Whatever token is alive was
	// got with a key less than a day before.
	keyLife = 7 * MaxLife

	answerTime = time.Minute // longer than a token's answer takes, after which its life ends
)

// minClientID is how many bytes a client id has at least that is kept out of errors. Looker's have
// 20; a shorter one may be any word.
const minClientID = 7

// LearnKey makes an API key a secret.
func (c *Client) LearnKey(clientID, clientSecret string) {
	now := c.now()
	if len(clientID) >= minClientID {
		c.secrets.Add(clientID, now.Add(keyLife), now)
	}
	c.secrets.Add(clientSecret, now.Add(keyLife), now)
}

// Learn makes a token a secret for as long as it lives. Tokens that come from this Client, or that
// it is called with, are so anyway.
func (c *Client) Learn(r token.Response) {
	c.secrets.Add(r.AccessToken, r.Sent.Add(r.Life+answerTime), c.now())
}

// Login asks for a token of the service account that this key belongs to.
func (c *Client) Login(
	ctx context.Context, clientID, clientSecret string,
) (token.Response, error) {
	c.LearnKey(clientID, clientSecret)
	form := url.Values{"client_id": {clientID}, "client_secret": {clientSecret}}
	return c.login(ctx, &call{
		method: http.MethodPost,
		url:    c.root + "/login",
		form:   form.Encode(),
	})
}

// LoginUser asks for a token of the user with this id, as the service account.
func (c *Client) LoginUser(
	ctx context.Context, service *token.Token, userID string,
) (token.Response, error) {
	c.Learn(service.Response())
	return c.login(ctx, &call{
		method:        http.MethodPost,
		url:           c.root + "/login/" + url.PathEscape(userID) + c.userQuery,
		authorization: service.Header(),
	})
}

// LookUp asks for the id of the user who has this id as a credential of this type, as the service
// account. It may be any text.
func (c *Client) LookUp(
	ctx context.Context, service *token.Token, credentialType, id string,
) (userID string, err error) {
	c.Learn(service.Response())
	path := "/users/credential/" + url.PathEscape(credentialType) + "/" + url.PathEscape(id)
	ans, err := c.send(ctx, &call{
		method:        http.MethodGet,
		url:           c.root + path + "?fields=id",
		authorization: service.Header(),
	})
	if err != nil {
		return "", err
	}
	if ans.status != http.StatusOK {
		return "", c.refused(ans)
	}
	return parseUserID(ans)
}

// Logout ends t. That it has ended before is a success; a page of a proxy's is none.
func (c *Client) Logout(ctx context.Context, t *token.Token) error {
	c.Learn(t.Response())
	ans, err := c.send(ctx, &call{
		method:        http.MethodDelete,
		url:           c.root + "/logout",
		authorization: t.Header(),
	})
	if err != nil {
		return err
	}
	switch ans.status {
	case http.StatusOK, http.StatusNoContent, http.StatusUnauthorized, http.StatusNotFound:
		if !c.isOther(ans) {
			return nil
		}
	}
	return c.refused(ans)
}

// login makes a call that answers a token.
func (c *Client) login(ctx context.Context, call *call) (token.Response, error) {
	ans, err := c.send(ctx, call)
	if err != nil {
		return token.Response{}, err
	}
	if ans.status != http.StatusOK {
		return token.Response{}, c.refused(ans)
	}
	r, err := parseToken(ans)
	if err == nil {
		c.Learn(r)
	}
	return r, err
}

// call is one call on the wire.
type call struct {
	method, url   string
	form          string // the body, if there is one
	authorization string // the header, if there is one
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	sent   time.Time // when the request was
}

const maxAnswer = 64 << 10 // bytes read of an answer; Looker's have less than 1 KiB

// send makes the call.
func (c *Client) send(ctx context.Context, call *call) (answer, error) {
	ctx = WithoutTrace(ctx)
	req, err := http.NewRequestWithContext(ctx, call.method, call.url, strings.NewReader(call.form))
	if err != nil {
		return answer{}, &Error{Err: c.Scrub(err)}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	if call.form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if call.authorization != "" {
		req.Header.Set("Authorization", call.authorization)
	}
	sent := c.now()
	resp, err := c.transport.RoundTrip(req)
	if err == nil && resp == nil {
		err = errors.New("the transport has returned neither a response nor an error")
	}
	if err != nil {
		return answer{}, c.noAnswer(ctx, err)
	}
	if resp.Body == nil { // which a test's transport may leave out
		resp.Body = http.NoBody
	}
	defer resp.Body.Close()
	if !IsAnswerTo(resp, call.authorization) {
		return answer{}, &Error{Err: errOtherToken}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, c.noAnswer(ctx, err)
	}
	return answer{resp.StatusCode, resp.Header, body, sent}, nil
}

var errOtherToken = errors.New("the transport has put another Authorization in place of ours: " +
	"use one that authorizes nothing")

// IsAnswerTo reports whether the response is to a request with this Authorization, as far as it
// shows that. Otherwise whoever carried the request has put another one in its place.
func IsAnswerTo(resp *http.Response, authorization string) bool {
	if authorization == "" || resp == nil || resp.Request == nil {
		return true
	}
	for name, values := range resp.Request.Header {
		if strings.EqualFold(name, "Authorization") &&
			(len(values) != 1 || values[0] != authorization) {
			return false
		}
	}
	return true
}
