// Package origin knows where tokens may go: to one scheme, host and port, and there below a path.
package origin

import (
	"net/http"
	"net/url"
	"strings"
)

// Origin is where tokens may go. It is a value, and never changes.
type Origin struct {
	scheme    string
	authority string // as it is in the base URL, and so in nearly all requests
	host      string // lower case
	port      string // even if it is the scheme's own
	prefix    string // as on the wire, without a slash at the end; "" if there is none
}

// New takes a valid base URL.
func New(baseURL string) Origin {
	u, err := url.Parse(baseURL)
	if err != nil {
		panic(err) // it was validated
	}
	host, port := hostPort(u.Scheme, u.Host)
	return Origin{u.Scheme, u.Host, host, port, u.EscapedPath()}
}

// String is the base URL in one spelling, of all that mean the same.
func (o Origin) String() string { return o.scheme + "://" + o.host + ":" + o.port + o.prefix }

// Covers reports whether the request and all redirects that led to it stayed below the origin.
// Whoever sent a request back here from elsewhere is not Looker.
func (o *Origin) Covers(req *http.Request) bool {
	for {
		if !o.covers(req) {
			return false
		}
		if req.Response == nil || req.Response.Request == nil {
			return true
		}
		req = req.Response.Request
	}
}

// covers reports whether the request leads below the origin, by all that a server or a proxy
// might look at.
func (o *Origin) covers(req *http.Request) bool {
	u := req.URL
	if u == nil || u.Opaque != "" || !o.isAt(u.Host) {
		return false
	}
	if u.Scheme != o.scheme && lower(u.Scheme) != o.scheme {
		return false
	}
	if req.Host != "" && req.Host != u.Host && !o.isAt(req.Host) {
		return false
	}
	if o.prefix == "" && u.RawPath == "" && strings.HasPrefix(u.Path, "/") {
		return true // as nearly all do
	}
	path := u.EscapedPath()
	if path != "" && path[0] != '/' {
		return false // a proxy would get one word of the host and this
	}
	if o.prefix == "" {
		return true
	}
	rest, ok := strings.CutPrefix(path, o.prefix)
	return ok && (rest == "" || rest[0] == '/') && !HasDotSegment(rest)
}

// isAt reports whether host, which may have a port, is the origin's.
func (o *Origin) isAt(host string) bool {
	if host == o.authority {
		return true
	}
	name, port := hostPort(o.scheme, host)
	return name == o.host && port == o.port
}

// lower is s with the ASCII letters in lower case, and with all others as they are: net/http goes
// to another host if the names differ in those, even if strings.ToLower takes them for the same.
func lower(s string) string {
	if !strings.ContainsAny(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return s
	}
	bytes := []byte(s)
	for i, b := range bytes {
		if 'A' <= b && b <= 'Z' {
			bytes[i] += 'a' - 'A'
		}
	}
	return string(bytes)
}

// hostPort splits a host, in lower case, from its port, which is the scheme's own if it has none.
func hostPort(scheme, host string) (name, port string) {
	host = lower(host)
	colon := strings.LastIndexByte(host, ':')
	if colon > strings.LastIndexByte(host, ']') {
		host, port = host[:colon], host[colon+1:]
	}
	switch {
	case port != "":
		return host, port
	case scheme == "http":
		return host, "80"
	}
	return host, "443"
}
