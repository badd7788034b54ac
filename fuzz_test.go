package lookerauth_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
)

// fuzzCache is a Cache whose calls handle answers. Its logins have no time for a second try.
func fuzzCache(t *testing.T, baseURL string, handle roundTripper) *lookerauth.Cache {
	cfg := testConfig()
	cfg.BaseURL, cfg.Transport, cfg.Clock, cfg.LoginTimeout = baseURL, handle, fuzzClock{}, 1
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = cache.Close(t.Context()) })
	return cache
}

func FuzzTokenAnswer(f *testing.F) {
	for _, body := range []string{
		tokenAnswer, `{"message":"Not found"}`, `{"message":"` + testSecret + `"}`,
		`{"access_token":"a\nb","expires_in":1e400}`, "", "null", "\xff",
	} {
		for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 429, 500, 99, -1} {
			f.Add(body, status, "Retry-After", "1")
		}
	}
	f.Fuzz(func(t *testing.T, body string, status int, name, value string) {
		handle := func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodDelete {
				return respond(http.StatusNoContent, nil, ""), nil
			}
			return respond(status, http.Header{name: {value}}, body), nil
		}
		token, err := fuzzCache(t, "https://looker.example", handle).ServiceAccount().Token()
		if err == nil {
			bad := token.AccessToken == "" || strings.ContainsAny(token.AccessToken, " \r\n\x00")
			life := token.Expiry.Sub(synctestEpoch)
			if status != http.StatusOK || bad || life < 0 || life > 24*time.Hour {
				t.Errorf("%d %q became %q for %v", status, body, token.AccessToken, life)
			}
			return
		}
		failed := callError(t, err)
		if failed.StatusCode != status || len(failed.Message) > 210 {
			t.Errorf("%d %q became %#v", status, body, err)
		}
		text := err.Error()
		if strings.Contains(text, testSecret) || strings.ContainsAny(text, "\r\n") {
			t.Errorf("%d %q became %q", status, body, text)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, header := range []string{
		"1", "3600", "0", "-1", "1.5", "99999999999999999999", "+1", " 1", "1 ",
		"Sat, 01 Jan 2000 00:01:00 GMT", "Mon, 01 Jan 2300 00:00:00 GMT",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		handle := func(*http.Request) (*http.Response, error) {
			header := http.Header{"Retry-After": {header}}
			return respond(http.StatusTooManyRequests, header, ""), nil
		}
		_, err := fuzzCache(t, "https://looker.example", handle).ServiceAccount().Token()
		checkError(t, err, lookerauth.ErrRateLimited)
		if got, want := callError(t, err).RetryAfter, retryAfter(header); got != want {
			t.Errorf("%q became %v, want %v", header, got, want)
		}
	})
}

// retryAfter states anew what a Retry-After means at synctestEpoch.
func retryAfter(header string) time.Duration {
	const day = 24 * time.Hour
	if header != "" && strings.Trim(header, "0123456789") == "" {
		seconds, err := strconv.Atoi(header)
		if err != nil { // too many digits for an int
			return day
		}
		return min(time.Duration(min(seconds, 1e6))*time.Second, day)
	}
	date, err := http.ParseTime(header)
	if err != nil || date.Before(synctestEpoch) {
		return 0
	}
	return min(date.Sub(synctestEpoch), day)
}

func FuzzUserID(f *testing.F) {
	for _, userID := range []string{
		"789", "", ".", "..", "../logout", "a/b", "1?associative=false", "%2e%2e", `..\x`,
		"\x7f", "\xff", "ü", strings.Repeat("x", 256), "789/../790", "..;x/", "..%252fusers",
		"...", ". .", " .", "a b", "a:b@c",
	} {
		f.Add(userID)
	}
	f.Fuzz(func(t *testing.T, userID string) {
		calls := callsFor(t, lookerauth.User(userID))
		if calls != nil {
			checkSegment(t, calls[0], "/bi/api/4.0/login/", userID)
		}
	})
}

func FuzzCredential(f *testing.F) {
	for _, id := range []string{
		"42", "", ".", "..", "../1", "a/b", "1?fields=x", "%2e%2e", `..\x`, "a b", "ü", "\u0085",
		"\xff", strings.Repeat("ü", 128), "me@looker.example", "a:b", "...", "a;b", "\u2028",
	} {
		f.Add("embed", id)
	}
	f.Add("user", "7")
	f.Add("../x", "7")
	f.Add("a:b", "7")
	f.Fuzz(func(t *testing.T, typ, id string) {
		calls := callsFor(t, lookerauth.UserByCredential(lookerauth.CredentialType(typ), id))
		if calls == nil {
			return
		}
		prefix := "/bi/api/4.0/users/credential/" + typ + "/"
		checkSegment(t, strings.TrimSuffix(calls[0], "?fields=id"), prefix, id)
		if calls[1] != "/bi/api/4.0/login/789" {
			t.Errorf("then %s was asked", calls[1])
		}
	})
}

// callsFor returns the lines on the wire of the calls that get this user's token; nil if it is
// nobody's.
func callsFor(t *testing.T, who lookerauth.Identity) (sent []string) {
	handle := func(req *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(req.URL.EscapedPath(), "/login") {
			sent = append(sent, req.URL.RequestURI())
		}
		if req.Method == http.MethodGet {
			return respond(http.StatusOK, nil, `{"id":"789"}`), nil
		}
		return respond(http.StatusOK, nil, tokenAnswer), nil
	}
	_, err := fuzzCache(t, "https://looker.example/bi", handle).As(who).Token()
	if err != nil {
		if !errors.Is(err, lookerauth.ErrInvalidIdentity) || len(sent) != 0 {
			t.Errorf("%q: %v, %d calls", who, err, len(sent))
		}
		return nil
	}
	return sent
}

// checkSegment checks what a server makes of a line on the wire, behind gateways that decode it:
// below this prefix, the id and nothing else.
func checkSegment(t *testing.T, wire, prefix, id string) {
	t.Helper()
	if strings.Trim(wire, printableASCII) != "" ||
		strings.Count(wire, "/") != strings.Count(prefix, "/") {
		t.Fatalf("%q was sent as %q", id, wire)
	}
	for _, reading := range gatewayReadings(wire) {
		if reading != wire && reading != prefix+id {
			t.Errorf("%q was sent as %s, which may be read as %s", id, wire, reading)
		}
	}
	if decoded, err := url.PathUnescape(wire); err != nil || decoded != prefix+id {
		t.Errorf("%q was sent as %s: %v", id, wire, err)
	}
}

const printableASCII = "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`" +
	"abcdefghijklmnopqrstuvwxyz{|}~"

// gatewayReadings are what may arrive behind gateways that decode a path up to twice. Before it
// decodes, and afterwards, each cuts off parameters or not, takes a backslash for a slash or not,
// ends the path at a query or not, and cleans it or not.
func gatewayReadings(wire string) []string {
	readings := map[string]bool{wire: true}
	for range 2 {
		for _, read := range []func(string) string{
			withoutParameters, withSlashes, untilAQuery, path.Clean, decodeOnce,
			withoutParameters, withSlashes, untilAQuery, path.Clean,
		} {
			for _, reading := range slices.Collect(maps.Keys(readings)) {
				readings[read(reading)] = true
			}
		}
	}
	return slices.Collect(maps.Keys(readings))
}

// withoutParameters leaves of each segment what stands before a semicolon.
func withoutParameters(p string) string {
	segments := strings.Split(p, "/")
	for i := range segments {
		segments[i], _, _ = strings.Cut(segments[i], ";")
	}
	return strings.Join(segments, "/")
}

// withSlashes takes a backslash for a slash.
func withSlashes(p string) string { return strings.ReplaceAll(p, `\`, "/") }

// untilAQuery leaves what stands before a question mark or a hash.
func untilAQuery(p string) string { return p[:strings.IndexAny(p+"?", "?#")] }

func FuzzOrigin(f *testing.F) {
	for _, seed := range [][3]string{
		{"https://looker.example", "https://looker.example/x", ""},
		{"https://looker.example/bi", "https://looker.example/bi/x", ""},
		{"https://looker.example/bi", "https://looker.example/bi/../x", ""},
		{"https://looker.example/bi", "https://looker.example/bi/%252e%252e/x", ""},
		{"https://looker.example/bi", `https://looker.example/bi/..%5cx`, ""},
		{"https://looker.example/bi", "https://looker.example/bi/..;a/x", ""},
		{"https://looker.example:19999", "https://looker.example/", "looker.example:19999"},
		{"https://looker.example", "HTTPS://LOOKER.EXAMPLE:443/", "evil.example"},
		{"http://[::1]:80", "http://[::1]/", ""},
		{"http://[::1]", "http://[::1%25lo]/", ""},
		{"https://looker.mybiz.example", "https://looker.mybİz.example/", ""},
		{"https://looker.example", "https://looker.example/", "loo\u212aer.example"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, base, target, host string) {
		cache := fuzzCache(t, base, func(*http.Request) (*http.Response, error) {
			return respond(http.StatusOK, nil, tokenAnswer), nil
		})
		req, err := http.NewRequest(http.MethodGet, target, nil)
		if err != nil {
			t.Skip(err)
		}
		req.Host = host
		sent := false
		seeToken := roundTripper(func(req *http.Request) (*http.Response, error) {
			sent = req.Header.Get("Authorization") != ""
			return respond(http.StatusOK, nil, ""), nil
		})
		_, err = cache.ServiceAccount().Transport(seeToken).RoundTrip(req)
		if sent == errors.Is(err, lookerauth.ErrForeignOrigin) {
			t.Fatalf("sent: %v, error %v", sent, err)
		}
		b, _ := url.Parse(base)
		u, _ := url.Parse(target)
		same := b.Scheme == u.Scheme && sameHost(b, b.Host, u.Host) &&
			(host == "" || sameHost(b, b.Host, host))
		if sent && !(same && below(strings.TrimRight(b.Path, "/"), u.EscapedPath())) {
			t.Errorf("a token for %s went to %s (Host: %s)", base, target, host)
		}
		// What is plainly below must not be refused.
		below := strings.HasPrefix(target, strings.TrimRight(base, "/")+"/")
		if !sent && host == "" && below && plain(u.Path) && u.User == nil {
			t.Errorf("a token for %s did not go to %s", base, target)
		}
	})
}

// sameHost states the rule of hosts anew: equal but for the case of ASCII, with the scheme's own
// port where there is none.
func sameHost(base *url.URL, a, b string) bool {
	split := func(hostport string) (string, string) {
		u := url.URL{Host: hostport}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
		}
		return u.Hostname(), port
	}
	hostA, portA := split(a)
	hostB, portB := split(b)
	isASCII := strings.Trim(hostA+hostB, printableASCII) == ""
	return strings.EqualFold(hostA, hostB) && isASCII && portA == portB
}

// below states the rule of paths anew: however often the path is decoded, and whatever is taken for
// a slash or a parameter, it leads to the prefix or below.
func below(prefix, escaped string) bool {
	if prefix == "" {
		return true
	}
	for decoded := escaped; ; {
		segments := strings.Split(strings.ReplaceAll(decoded, `\`, "/"), "/")
		for i := range segments {
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		for _, form := range []string{decoded, strings.Join(segments, "/")} {
			clean := path.Clean(form)
			if clean != prefix && !strings.HasPrefix(clean, prefix+"/") {
				return false
			}
		}
		next := decodeOnce(decoded)
		if next == decoded {
			return true
		}
		decoded = next
	}
}

// decodeOnce decodes what is percent-encoded, and leaves a stray percent sign as it is.
func decodeOnce(s string) string {
	var out []byte
	for i := 0; i < len(s); i++ {
		if i+2 < len(s) && s[i] == '%' {
			if char, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(char))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// plain reports whether a path has nothing that could mean two things.
func plain(p string) bool {
	return path.Clean(p) == p && strings.Trim(p, "/abcdefghijklmnopqrstuvwxyz0123456789") == ""
}
