package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// stranger is what somebody on this host may try: a request, as it goes over the wire. In it, $KEY
// is the token of a key, $SUDO one from login_user, and so on; see TestStrangersAreRefused.
type stranger struct{ name, request string }

// send is a request with a token.
func send(call, token string) string { return at("localhost", call) + "\nAuthorization: " + token }

// get is a GET with the token of a key.
func get(path string) string { return send("GET "+path, "token $KEY") }

// at is a request without a token.
func at(host, call string) string { return call + "\nHost: " + host }

// post is a request with a form.
func post(path, header, form string) string {
	const format = "\nContent-Type: application/x-www-form-urlencoded\nContent-Length: $LENGTH"
	return at("localhost", "POST "+path) + format + header + "\n\n" + form
}

// refusals are the requests that get a status, none of which reaches Looker.
var refusals = map[int][]stranger{
	http.StatusBadRequest: {
		{"two hosts", get("/api/4.0/user") + "\nHost: evil.example"},
	},
	http.StatusUnauthorized: {
		{"no token", at("localhost", "GET /api/4.0/user")},
		{"forged token", send("GET /api/4.0/user", "token ") + strings.Repeat("A", 52)},
		{"token of another gateway", send("GET /api/4.0/user", "token $OTHER")},
		{"old token", send("GET /api/4.0/user", "token $OLD")},
		{"token that was logged out", send("GET /api/4.0/user", "token $ENDED")},
		{"old token at login_user", send("POST /api/4.0/login/790", "token $OLD")},
		{"old token at logout", send("DELETE /api/4.0/logout", "token $OLD")},
		{"Looker's token", send("GET /api/4.0/user", "token $LOOKERS")},
		{"no scheme", send("GET /api/4.0/user", "$KEY")},
		{"two tokens", get("/api/4.0/user") + "\nAuthorization: token $SUDO"},
		{"two tokens in one", get("/api/4.0/user") + ", token $SUDO"},
		{"token for a proxy",
			at("localhost", "GET /api/4.0/user") + "\nProxy-Authorization: token $KEY"},
		{"token in a cookie", at("localhost", "GET /api/4.0/user") + "\nCookie: access_token=$KEY"},
		{"token in the query", at("localhost", "GET /api/4.0/user?access_token=$KEY")},
	},
	http.StatusForbidden: {
		{"user not allowed", send("POST /api/4.0/login/793", "token $KEY")},
		{"service account", send("POST /api/4.0/login/1", "token $KEY")},
		{"other key's user", send("POST /api/4.0/login/792", "token $KEY")},
		{"user from a user", send("POST /api/4.0/login/791", "token $SUDO")},
		{"more than a user", send("POST /api/4.0/login/790/1", "token $KEY")},
		{"encoded login", send("POST /api/4.0/%6Cogin/1", "token $KEY")},
		{"name that leads here",
			at("evil.example:19998", "GET /api/4.0/user") + "\nAuthorization: token $KEY"},
		{"name that looks like this host",
			at("localhost.evil.example", "GET /api/4.0/user") + "\nAuthorization: token $KEY"},
		{"address of another host",
			at("192.0.2.1", "GET /api/4.0/user") + "\nAuthorization: token $KEY"},
		{"no host", at("", "GET /api/4.0/user") + "\nAuthorization: token $KEY"},
		{"other host's URL", get("http://evil.example/api/4.0/user")},
		{"own URL, as of a proxy", get("http://127.0.0.1/api/4.0/user")},
		{"tunnel", strings.Replace(get("evil.example:443"), "GET", "CONNECT", 1)},
		{"page of another site", get("/api/4.0/user") + "\nOrigin: https://evil.example"},
		{"page of no site", get("/api/4.0/user") + "\nOrigin: null"},
		{"page of this host", get("/api/4.0/user") + "\nOrigin: http://localhost:19998"},
		{"image in a page", get("/api/4.0/user") + "\nSec-Fetch-Site: cross-site"},
		{"login in a page", post("/api/4.0/login", "\nOrigin: https://evil.example", "$FORM")},
	},
	http.StatusNotFound: {
		{"no key", post("/api/4.0/login", "", "")},
		{"empty key", post("/api/4.0/login", "", "client_id=&client_secret=")},
		{"wrong secret", post("/api/4.0/login", "", "client_id=reports&client_secret=wrong")},
		{"other key's secret",
			post("/api/4.0/login", "", "client_id=alerts&client_secret=secret-of-the-reports")},
		{"Looker's key", post("/api/4.0/login", "", "$LOOKERSFORM")},
		{"key in the query", post("/api/4.0/login?$FORM", "", "")},
		{"root", get("/")},
		{"above the API", get("/api/4.0")},
		{"versions", get("/versions")},
		{"older API", get("/api/3.1/user")},
		{"internal API", get("/api/internal/user")},
		{"OAuth", post("/api/token", "\nAuthorization: token $KEY", "grant_type=refresh_token")},
		{"other case", get("/API/4.0/user")},
		{"login in another case", get("/api/4.0/Login")},
		{"login with an ending", get("/api/4.0/login.json")},
		{"two dots", get("/api/4.0/looks/../user")},
		{"one dot", get("/api/4.0/./user")},
		{"dots at the end", get("/api/4.0/looks/..")},
		{"encoded dots", get("/api/4.0/%2e%2e/internal/user")},
		{"dots that are encoded twice", get("/api/4.0/%252e%252e/internal/user")},
		{"dots with a parameter", get("/api/4.0/looks/..;/user")},
		{"encoded slash", get("/api/4.0/looks%2f1")},
		{"encoded slash and dots", get("/api/4.0/looks/..%2Fuser")},
		{"encoded backslash", get("/api/4.0/looks/..%5Cuser")},
		{"wide slash", get("/api/4.0/looks/%EF%BC%8Fuser")},
		{"zero", get("/api/4.0/looks/%00")},
		{"line break", get("/api/4.0/looks/%0d%0aCookie:%20x")},
		{"parameter", get("/api/4.0/login;x=1")},
		{"encoded question mark", get("/api/4.0/login%3Fx")},
		{"empty segment", get("/api/4.0//user")},
		{"empty first segment", get("//api/4.0/user")},
		{"slash at the end", get("/api/4.0/login/")},
		{"no path", get("*")},
	},
	http.StatusMethodNotAllowed: {
		{"GET of login", get("/api/4.0/login")},
		{"GET of login_user", get("/api/4.0/login/1")},
		{"POST of logout",
			post("/api/4.0/logout", "\nAuthorization: token $KEY", "_method=DELETE")},
		{"POST of logout, overridden", post("/api/4.0/logout",
			"\nAuthorization: token $KEY\nX-HTTP-Method-Override: DELETE", "")},
		{"more than logout", strings.Replace(get("/api/4.0/logout/1"), "GET", "DELETE", 1)},
		{"workspace of a token that is shared",
			strings.Replace(get("/api/4.0/session"), "GET", "PATCH", 1)},
		{"the same, overridden", post("/api/4.0/session",
			"\nAuthorization: token $KEY\nX-HTTP-Method-Override: PATCH", "")},
	},
}

func TestStrangersAreRefused(t *testing.T) {
	s := startAtFake(t)
	old := s.login(t, testKeys[0])
	s.passed.Add(int64(time.Hour))
	ended := s.login(t, testKeys[0])
	if status, _ := s.call(t, ended, "DELETE", "/logout", nil); status != http.StatusNoContent {
		t.Fatalf("logout answered %d", status)
	}
	token := s.login(t, testKeys[0])
	sudo := s.loginUser(t, token, "790")
	lookers, err := s.cache.User("789").Token()
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.looker.Config()
	values := strings.NewReplacer("$KEY", token, "$SUDO", sudo, "$OLD", old, "$ENDED", ended,
		"$OTHER", startAtFake(t).login(t, testKeys[0]), "$LOOKERS", lookers.AccessToken,
		"$FORM", "client_id=reports&client_secret=secret-of-the-reports",
		"$LOOKERSFORM", "client_id="+cfg.ClientID+"&client_secret="+cfg.ClientSecret)
	before := len(s.looker.Requests())
	for status, strangers := range refusals {
		for _, stranger := range strangers {
			t.Run(stranger.name, func(t *testing.T) {
				resp := s.raw(t, wire(values.Replace(stranger.request)))
				checkRefusal(t, resp, status)
			})
		}
	}
	if calls := s.looker.Requests()[before:]; len(calls) != 0 {
		t.Errorf("Looker got %+v", calls)
	}
	s.want(t, token, http.StatusOK, "789") // it is not the tokens that are wrong
	s.want(t, sudo, http.StatusOK, "790")
}

// wire is the request as HTTP/1.1 has it.
func wire(request string) string {
	head, body, _ := strings.Cut(request, "\n\n")
	head = strings.Replace(head, "\n", " HTTP/1.1\n", 1)
	head = strings.Replace(head, "$LENGTH", lengthOf(body), 1)
	return strings.ReplaceAll(head, "\n", "\r\n") + "\r\nConnection: close\r\n\r\n" + body
}

func lengthOf(body string) string {
	length, _ := json.Marshal(len(body)) // which a number always can be
	return string(length)
}

// checkRefusal fails the test if the answer is not an error as Looker writes them. Only net/http's
// own is not.
func checkRefusal(t *testing.T, resp *http.Response, status int) {
	t.Helper()
	if resp.StatusCode != status {
		t.Fatalf("answered %s, want %d", resp.Status, status)
	}
	if status == http.StatusBadRequest {
		return
	}
	var got answer
	err := json.NewDecoder(resp.Body).Decode(&got)
	isJSON := resp.Header.Get("Content-Type") == "application/json"
	if err != nil || !isJSON || got.Message == "" || !strings.HasPrefix(got.Docs, "https://") {
		t.Errorf("answered %v %+v, %v", resp.Header, got, err)
	}
}

// What a program sends beside what it may, Looker never sees.
func TestSmuggledHeadersDoNotGoToLooker(t *testing.T) {
	s := startAtFake(t)
	token := s.login(t, testKeys[0])
	request := strings.ReplaceAll(get("/api/4.0/user"), "$KEY", token) +
		"\nAccept: application/json\nUser-Agent: a program\nX-Looker-Appid: an SDK" +
		"\nConnection: Authorization, Accept-Language, X-Mine\nX-Mine: x\nAccept-Language: de" +
		"\nCookie: session=x\nProxy-Authorization: Basic x\nX-HTTP-Method-Override: DELETE" +
		"\nX-Forwarded-For: 192.0.2.1\nForwarded: for=192.0.2.1\nX-Real-Ip: 192.0.2.1" +
		"\nX-Original-Url: /api/internal/user\nKeep-Alive: x\nTe: trailers\nUpgrade: websocket"
	resp := s.raw(t, wire(request))
	var me answer
	if err := json.NewDecoder(resp.Body).Decode(&me); err != nil || me.ID != "789" {
		t.Errorf("answered %s %+v, %v", resp.Status, me, err)
	}
	all := s.looker.Requests()
	header := all[len(all)-1].Header
	for name, values := range header {
		may := append(slices.Clone(forwarded), "Authorization")
		if !slices.Contains(may, name) || len(values) != 1 {
			t.Errorf("Looker got %s: %q", name, values)
		}
	}
	for _, name := range []string{"Accept", "User-Agent", "X-Looker-Appid", "Authorization"} {
		if header.Get(name) == "" {
			t.Errorf("Looker did not get %s", name)
		}
	}
	if got := header.Get("Accept-Language"); got != "" {
		t.Errorf("Looker got what was for this connection alone: %q", got)
	}
}

func TestTrailersDoNotGoToLooker(t *testing.T) {
	looker := lookertest.New(t)
	cfg := looker.Config()
	watched := &watched{RoundTripper: cfg.Transport}
	cfg.Transport = watched
	s := start(t, looker, cfg)
	token := s.login(t, testKeys[0])
	head := send("POST /api/4.0/looks/1", "token "+token) +
		"\nTransfer-Encoding: chunked\nTrailer: Cookie"
	text := wire(head + "\n\n" + "1\r\nx\r\n0\r\nCookie: session=x\r\n\r\n")
	resp := s.raw(t, text)
	if resp.StatusCode != http.StatusOK || len(watched.trailer) != 0 {
		t.Errorf("answered %s, and Looker was promised %v", resp.Status, watched.trailer)
	}
}

func TestLookersCookiesDoNotGoToPrograms(t *testing.T) {
	s := startAtFake(t)
	token := s.login(t, testKeys[0])
	cookie := http.Header{"Set-Cookie": {"session=of-789"}, "X-Kept": {"yes"}}
	s.looker.FailNext(lookertest.OpAPI, lookertest.Fault{Header: cookie})
	resp := s.raw(t, wire(strings.ReplaceAll(get("/api/4.0/user"), "$KEY", token)))
	if resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("X-Kept") == "" {
		t.Errorf("answered %v", resp.Header)
	}
}
