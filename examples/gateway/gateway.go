package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/lookerauth/lookerauth"
)

// apiPath is a path that all servers read alike. The calls of Looker's API have no others.
var apiPath = regexp.MustCompile(`^/api/4\.0/[a-z0-9_]+(/(\.?[\w :@!$&'()*+,=|~-]+)+)*$`)

// forwarded are the headers of a program that are Looker's business.
var forwarded = []string{"Accept", "Accept-Encoding", "Accept-Language", "Content-Encoding",
	"Content-Type", "If-None-Match", "User-Agent", "X-Looker-Appid"}

// gateway is Looker's API for programs on this host. They log in with keys of the gateway's, and
// get tokens of the gateway's. Their requests go to Looker with Looker's, which they never see.
type gateway struct {
	cache    *lookerauth.Cache
	sessions *sessions
	proxy    *httputil.ReverseProxy
}

func newGateway(c *lookerauth.Cache, looker *url.URL, keys []key, now func() time.Time) *gateway {
	byDigest, _ := lru.New[[32]byte, session](10_000) // it fails only without room
	return &gateway{c, &sessions{keys, now, byDigest}, &httputil.ReverseProxy{
		Transport:     c.Transport(nil),
		FlushInterval: -1, // at once: a stream of Looker's stays one
		ErrorHandler:  fail,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.RawPath, r.Out.Trailer = "", nil // the path is encoded anew, as checked
			r.SetURL(looker)
			maps.DeleteFunc(r.Out.Header, func(name string, _ []string) bool {
				return !slices.Contains(forwarded, name)
			})
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Del("Set-Cookie")
			return nil
		},
	}}
}

// ServeHTTP is all that the gateway refuses and does, in this order.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	caller, authorized := g.sessions.find(token)
	name, arg, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/4.0/"), "/")
	switch call := r.Method + " " + name; {
	case r.URL.Host != "", !isLoopback(r.Host), // any name may lead here
		r.Header["Origin"] != nil, r.Header["Sec-Fetch-Site"] != nil:
		refuse(w, http.StatusForbidden, "Only for programs on this host, and not for browsers.")
	case !apiPath.MatchString(r.URL.Path), strings.Contains(strings.ToUpper(r.URL.RawPath), "%2F"):
		refuse(w, http.StatusNotFound, "Not found")
	case call == "POST login" && arg == "":
		g.login(w, r)
	case !authorized || len(r.Header["Authorization"]) != 1:
		refuse(w, http.StatusUnauthorized, "Requires authentication.")
	case call == "POST login" && slices.Contains(caller.users, arg):
		g.begin(w, r, session{user: arg})
	case call == "POST login":
		refuse(w, http.StatusForbidden, "This token may not log this user in.")
	case call == "DELETE logout" && arg == "":
		g.sessions.byDigest.Remove(digest(token)) // Looker's lives on, as others use it
		w.WriteHeader(http.StatusNoContent)
	case name == "login", name == "logout", name == "session" && r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, "Not here: programs share the token at Looker.")
	default:
		g.forward(w, r, caller)
	}
}

// isLoopback reports whether a host, which may have a port, is this one.
func isLoopback(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	return name == "localhost" || net.ParseIP(name).IsLoopback()
}

func (g *gateway) login(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // what is none has no key in it
	begun, ok := g.sessions.login(r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"))
	if !ok {
		refuse(w, http.StatusNotFound, "Not found") // as Looker says it
		return
	}
	g.begin(w, r, begun)
}

// begin answers with a token of the gateway's, once there is one of Looker's.
func (g *gateway) begin(w http.ResponseWriter, r *http.Request, begun session) {
	if _, err := g.cache.User(begun.user).TokenContext(r.Context()); err != nil {
		fail(w, r, err)
		return
	}
	token, life := g.sessions.begin(begun), int(tokenLife.Seconds())
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": life})
}

// forward sends a request to Looker as the caller's user.
func (g *gateway) forward(w http.ResponseWriter, r *http.Request, caller session) {
	if r.ContentLength < 0 { // a stream: Looker may answer each part of it as it comes
		_ = http.NewResponseController(w).EnableFullDuplex()
	} else if r.ContentLength <= 1<<20 { // a body to keep, so that it can be sent again
		all, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the program has left
		}
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(all)), nil }
		r.Body, _ = r.GetBody()
	}
	g.proxy.ServeHTTP(w, r.WithContext(lookerauth.WithUser(r.Context(), caller.user)))
}

// fail answers with why Looker did not. The error holds no secret.
func fail(w http.ResponseWriter, _ *http.Request, err error) {
	call, isCall := errors.AsType[*lookerauth.CallError](err)
	if isCall && call.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(call.RetryAfter.Seconds()+0.999)))
	}
	status := http.StatusBadGateway
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	case isCall && (errors.Is(err, lookerauth.ErrUserNotFound) || call.StatusCode >= 500 ||
		errors.Is(err, lookerauth.ErrForbidden) || errors.Is(err, lookerauth.ErrRateLimited)):
		status = call.StatusCode
	}
	refuse(w, status, err.Error())
}

// refuse answers with an error as Looker writes them.
func refuse(w http.ResponseWriter, status int, message string) {
	const docs = "https://cloud.google.com/looker/docs/"
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"message": message, "documentation_url": docs})
}
