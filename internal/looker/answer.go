package looker

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lookerauth/lookerauth/internal/token"
)

const (
	maxMessage = 200 // bytes kept of Looker's message

	// MaxLife is the longest life of a token, and the longest Retry-After, that is believed, and
	// MinLife the shortest life that is of any use. Looker's tokens live for one hour by default.
	MaxLife = 24 * time.Hour
	MinLife = time.Second
)

// notLooker is the error for a success that is none of Looker's.
func notLooker(ans answer, why string) *Error {
	return &Error{Status: ans.status, NotLooker: true, Err: errors.New(why)}
}

// parseUserID reads the id of a user, which is a number in API 3.x.
func parseUserID(ans answer) (id string, err error) {
	var user struct {
		ID json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(ans.body, &user); err != nil {
		return "", notLooker(ans, "its body is not a user in JSON")
	}
	var number json.Number
	switch {
	case json.Unmarshal(user.ID, &id) == nil && id != "":
		return id, nil
	case json.Unmarshal(user.ID, &number) == nil && number != "":
		return number.String(), nil
	}
	return "", notLooker(ans, "its id is missing or malformed")
}

// parseToken trusts nothing: anyone between here and Looker may have answered.
func parseToken(ans answer) (token.Response, error) {
	var fields struct {
		AccessToken string  `json:"access_token"`
		TokenType   string  `json:"token_type"`
		ExpiresIn   float64 `json:"expires_in"` // seconds
	}
	if err := json.Unmarshal(ans.body, &fields); err != nil {
		return token.Response{}, notLooker(ans, "its body is not an access token in JSON")
	}
	if !IsAccessToken(fields.AccessToken) {
		return token.Response{}, notLooker(ans, "its access_token is missing or malformed")
	}
	seconds := min(fields.ExpiresIn, MaxLife.Seconds())
	life := time.Duration(seconds * float64(time.Second))
	if life < MinLife {
		const why = "its expires_in is not a number of seconds, 1 or more"
		return token.Response{}, notLooker(ans, why)
	}
	return token.Response{
		AccessToken: fields.AccessToken, TokenType: fields.TokenType, Sent: ans.sent, Life: life,
	}, nil
}

// maxAccessToken is longer than any access token: a server takes 8 KiB of headers or less, and a
// Store values that long. Looker's have 40 bytes.
const maxAccessToken = 4 << 10

// IsAccessToken reports whether s can be the second word of an Authorization header: visible
// ASCII only.
func IsAccessToken(s string) bool {
	return s != "" && len(s) <= maxAccessToken &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// isOther reports whether the answer has a body that Looker's with this status cannot have: one
// that is not JSON, such as a proxy's page, or an error that is not Looker's.
func (c *Client) isOther(ans answer) bool {
	if len(ans.body) == 0 {
		return false
	}
	_, isError := c.message(ans.body)
	return !json.Valid(ans.body) || ans.status >= 400 && !isError
}

// message is the message of Looker's error, which may be null. It is not Looker's if the body is no
// JSON object that has one.
func (c *Client) message(body []byte) (message string, isLooker bool) {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(body, &fields) // what is no object has no fields
	raw, ok := fields["message"]
	if !ok || json.Unmarshal(raw, &message) != nil {
		return "", false
	}
	message = c.secrets.Scrub(message) // first: a piece of a secret would not be found
	if len(message) <= maxMessage {
		return message, true
	}
	cut := maxMessage
	for !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + "…", true
}

// retryAfter reads seconds or an HTTP date; 0 if the header has neither.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, _ := strconv.ParseUint(value, 10, 64) // the largest number if it is too large
		return time.Duration(min(seconds, uint64(MaxLife/time.Second))) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), MaxLife)
}
