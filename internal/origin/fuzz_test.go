package origin_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth/internal/origin"
)

var bases = []string{
	"https://looker.example", "https://looker.example/bi", "http://looker.example:19999/bi/eu",
	"https://[fe80::a]:443/bi", "http://[fe80::a%25eth0]",
	"https://looker.mybiz.example",
}

// FuzzCovers sends what is covered with net/http, straight and over a proxy, and lets a gateway
// decode and clean its path twice: it goes to the host of the base URL, and below its prefix.
func FuzzCovers(f *testing.F) {
	for _, seed := range [][5]string{
		{"https", "looker.example", "/bi/x", "", ""},
		{"HTTPS", "LOOKER.example:443", "/bi", "", "looker.EXAMPLE"},
		{"https", "looker.mybİz.example", "/", "", ""},
		{"https", "looker.mybiz.example", "/", "", "looker.mybİz.example"},
		{"http", "looker.example:19999", "/bi/eu/a/b", "/bi/eu/a%2Fb", "looker.example"},
		{"https", "[FE80::A]", "/bi/%2e%2e/x", "/bi/%252e%252e/x", ""},
		{"http", "[fe80::a%eth0]", "/", "", "[FE80::a%ETH0]:80"},
		{"http", "[fe80::a%ETH0]:80", "/", "", ""},
		{"https", "looker.example:", "@evil.example/x", "", ""},
		{"https", "looker.example", "/", "", "looker.example:https"},
		{"https", "looker.example", "/bi/..;x/../y", "/bi/..%3Bx%5c..", ""},
		{"https", "looker.example", "/bi/50%", "/bi/50%25", "looker.example\r\nx"},
		{"https", "looker.example", "*", "", "looker.example/x"},
	} {
		for base := range bases {
			f.Add(uint8(base), seed[0], seed[1], seed[2], seed[3], seed[4])
		}
	}
	f.Fuzz(func(t *testing.T, base uint8, scheme, host, rest, raw, header string) {
		baseURL := bases[int(base)%len(bases)]
		req := request(t, baseURL)
		home := *req.URL
		for _, prefix := range []string{"", home.Path} {
			req.URL = &url.URL{Scheme: scheme, Host: host, Path: prefix + rest, RawPath: raw}
			req.Host = header
			o := origin.New(baseURL)
			if o.Covers(req) {
				checkHost(t, req, home)
				checkPath(t, req, home)
			} else if scheme == home.Scheme && host == home.Host && header == "" && raw == "" &&
				strings.HasPrefix(rest, "/") && strings.Trim(rest, plain) == "" &&
				strings.HasPrefix(prefix+rest, home.Path+"/") {
				t.Errorf("%s does not cover %s", baseURL, req.URL)
			}
		}
	})
}

// checkHost fails the test if the request goes to another host than home.
func checkHost(t *testing.T, req *http.Request, home url.URL) {
	if got, want := dialed(t, req), dialed(t, request(t, home.String())); got != "" && got != want {
		t.Errorf("a request to %q went to %s, not to %s", req.URL, got, want)
	}
	var wire bytes.Buffer
	if req.WriteProxy(&wire) != nil {
		return // net/http would not send it
	}
	sent, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatalf("over a proxy, %q is no request: %v", req.URL, err)
	}
	withoutZone, _, _ := strings.Cut(home.Hostname(), "%")
	for _, host := range []string{sent.Host, sent.URL.Host} {
		at := url.URL{Host: host}
		if !strings.EqualFold(at.Hostname(), withoutZone) || portOf(home.Scheme, at) !=
			portOf(home.Scheme, home) || strings.Trim(host, printable) != "" {
			t.Errorf("over a proxy, %q (Host: %q) went to %q", req.URL, req.Host, host)
		}
	}
}

const printable = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]"

func portOf(scheme string, u url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[scheme]
}

// checkPath fails the test if the request leads elsewhere than below home behind a gateway.
func checkPath(t *testing.T, req *http.Request, home url.URL) {
	if home.Path == "" {
		return // there is nothing beside it
	}
	readings := []string{req.URL.EscapedPath()}
	for range 2 {
		for _, read := range []func(string) string{
			decodeOnce, withSlashes, untilANull, withoutParameters, untilAQuery, path.Clean,
		} {
			for _, reading := range slices.Clone(readings) {
				readings = append(readings, read(reading))
			}
			slices.Sort(readings)
			readings = slices.Compact(readings)
		}
	}
	for _, reading := range readings {
		if clean := path.Clean(reading); clean != home.Path &&
			!strings.HasPrefix(clean, home.Path+"/") {
			t.Errorf("%q may be read as %q", req.URL, reading)
		}
	}
}

func decodeOnce(p string) string {
	readings := decodings(p)
	return readings[min(1, len(readings)-1)]
}

// dialed is where net/http dials to send the request: "" if it does not. Names are in lower case,
// by ASCII, and zones as they are.
func dialed(t *testing.T, req *http.Request) (addr string) {
	dial := func(_ context.Context, _, to string) (net.Conn, error) {
		addr = to
		return nil, errors.New("not today")
	}
	transport := &http.Transport{DialContext: dial, DialTLSContext: dial}
	if resp, err := transport.RoundTrip(req.Clone(t.Context())); err == nil {
		resp.Body.Close()
		t.Error("it was sent")
	}
	name, zone, _ := strings.Cut(addr, "%")
	return strings.Map(func(char rune) rune {
		if 'A' <= char && char <= 'Z' {
			return char + 'a' - 'A'
		}
		return char
	}, name) + zone
}
