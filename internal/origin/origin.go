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

// maxRedirects is more than lead to a request of Looker's. An http.Client follows ten. Where one
// response is returned again and again, they have no end.
const maxRedirects = 100

// Covers reports whether the request and all redirects that led to it stayed below the origin.
// Whoever sent a request back here from elsewhere is not Looker.
func (o *Origin) Covers(req *http.Request) bool {
	for range maxRedirects {
		if o.Strays(req) != Nothing {
			return false
		}
		if req.Response == nil || req.Response.Request == nil {
			return true
		}
		req = req.Response.Request
	}
	return false
}

// Part is what of a request leads away from an [Origin].
type Part int

// The parts of a request.
const (
	Nothing    Part = iota
	URL             // its scheme, host or port; or it has none, or is opaque
	HostHeader      // Request.Host, while the URL is fine
	Path            // not below the prefix, or perhaps not to each server or proxy on the way
)

// Strays returns the first part of the request that leads away from the origin, by all that a
// server or a proxy might look at.
func (o *Origin) Strays(req *http.Request) Part {
	u := req.URL
	if u == nil || u.Opaque != "" || !o.isAt(u.Host) {
		return URL
	}
	if u.Scheme != o.scheme && lower(u.Scheme) != o.scheme {
		return URL
	}
	if req.Host != "" && req.Host != u.Host && !o.isAt(req.Host) {
		return HostHeader
	}
	if o.prefix == "" && u.RawPath == "" && strings.HasPrefix(u.Path, "/") {
		return Nothing // as with nearly all
	}
	path := u.EscapedPath()
	if path != "" && path[0] != '/' {
		return Path // a proxy would get one word of the host and this
	}
	if o.prefix == "" {
		return Nothing
	}
	rest, ok := strings.CutPrefix(path, o.prefix)
	if !ok || rest != "" && rest[0] != '/' || HasDotSegment(rest) {
		return Path
	}
	return Nothing
}

// Below returns the path of a URL that is covered, as on the wire, without the origin's prefix.
func (o *Origin) Below(u *url.URL) string { return strings.TrimPrefix(u.EscapedPath(), o.prefix) }

// isAt reports whether host, which may have a port, is the origin's.
func (o *Origin) isAt(host string) bool {
	if host == o.authority {
		return true
	}
	name, port := hostPort(o.scheme, host)
	return name == o.host && port == o.port
}

// lower is s with the ASCII letters in lower case, and with all others as they are: net/http goes
// to another host if the names differ in those, even if strings.ToLower takes them for the same. It
// leaves a zone as it is, too, which names an interface of this machine.
func lower(s string) string {
	if !strings.ContainsAny(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return s
	}
	bytes := []byte(s)
	for i, b := range bytes {
		if b == '%' {
			break
		}
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
