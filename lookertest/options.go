package lookertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"

	"github.com/lookerauth/lookerauth"
)

// Option changes how a [Server] starts. The zero Option changes nothing.
type Option struct{ apply func(*options) }

// options is what the Options of one Server say. The zero value is the default.
type options struct {
	inMemory bool
	clock    lookerauth.Clock
	addr     string
	tls      bool
	versions []string
	origins  []string
}

// InMemory starts the [Server] without a network. Only its [Server.Config], its [Server.Client] and
// its [Server.Transport] reach it.
//
// It is for tests within a bubble of [testing/synctest], where time stands still while something
// waits for a real network. Start and close the Server within the bubble.
func InMemory() Option { return Option{func(o *options) { o.inMemory = true }} }

// WithClock lets tokens live, and delays pass, by clock. [Server.Config] has it, too, so that the
// Server and the [lookerauth.Cache] agree. A nil clock stands for the time package's, which is the
// default.
//
// While a fake clock stands still, so does whoever waits by it: a login that is tried again, and a
// [Fault]'s Delay. So move it in another goroutine than the one that waits, or take a bubble of
// [testing/synctest] and [InMemory] instead, where time moves by itself.
func WithClock(clock lookerauth.Clock) Option {
	return Option{func(o *options) { o.clock = clock }}
}

// WithAddr lets the [Server] listen on addr, as [net.Listen] takes it: "127.0.0.1:19999", say.
// Without it, or with an empty addr, it is a free port of the loopback interface. Whoever reaches
// an address of another interface reaches the Server, which takes any user id.
func WithAddr(addr string) Option { return Option{func(o *options) { o.addr = addr }} }

// WithTLS lets the [Server] speak https, with a certificate that nobody else trusts:
// [Server.Config], [Server.Client] and [Server.Transport] do.
func WithTLS() Option { return Option{func(o *options) { o.tls = true }} }

// WithAPIVersions lets the [Server] serve these versions of the API: "3.0", "3.1", "4.0", as
// installations of Looker from before 23.18 do, which removed the others. Without it, or with none,
// it is "4.0" alone.
func WithAPIVersions(versions ...string) Option {
	versions = slices.Clone(versions)
	return Option{func(o *options) { o.versions = versions }}
}

// WithOrigins lets pages of these origins call the API from a browser, as the embed allow-list of
// Looker does: "https://app.example", say. The logins stay closed to them, as they are at Looker. A
// browser's preflight is not one of the [Server.Requests], and meets no [Fault].
func WithOrigins(origins ...string) Option {
	origins = slices.Clone(origins)
	return Option{func(o *options) { o.origins = origins }}
}

// apiVersions are the versions of the API to serve, the newest last.
func (o options) apiVersions() ([]string, error) {
	if len(o.versions) == 0 {
		return []string{"4.0"}, nil
	}
	for _, version := range o.versions {
		if !slices.Contains([]string{"3.0", "3.1", "4.0"}, version) {
			return nil, fmt.Errorf("lookertest: there is no API version %q: "+
				"give WithAPIVersions 3.0, 3.1 or 4.0", version)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(o.versions))), nil
}

// dialer is what an http.Transport dials with; net's if it is nil.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// listen returns what the Server accepts connections from, and what makes them.
func (o options) listen() (net.Listener, dialer, error) {
	if o.inMemory {
		if o.addr != "" {
			return nil, nil, errors.New("lookertest: InMemory has no address: leave WithAddr out")
		}
		listener := newPipeListener()
		return listener, listener.dial, nil
	}
	addr := o.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("lookertest: end what listens there, or give WithAddr "+
			"another address (port 0 is any free one): %w", err)
	}
	return listener, nil, nil
}

// needsAllowHTTP reports whether a Config with this base URL does.
func needsAllowHTTP(baseURL string) bool {
	u, err := url.Parse(baseURL)
	return err == nil && u.Scheme == "http" && !net.ParseIP(u.Hostname()).IsLoopback()
}

// reachable is the host and port of addr, with the loopback interface's host for any host.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err == nil && net.ParseIP(host).IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr.String()
}
