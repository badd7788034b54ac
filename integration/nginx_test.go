package integration

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// As proxy_pass ends in a slash, nginx sends the path on that it has decoded and cleaned.
const nginxConf = `
daemon off;
pid nginx.pid;
error_log stderr warn;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen %s;
		location /looker/ { proxy_pass %s/; }
		location / { proxy_pass %s/; }
	}
}
`

// gateway is an nginx with a Looker below /looker, and another server beside that.
type gateway struct {
	url    string // of the Looker
	looker *lookertest.Server
	beside atomic.Int64 // requests that the other server got
	base   *http.Transport
}

// startGateway starts a gateway that ends with the test. Without nginx the test is skipped, or
// fails if the environment has CI in it.
func startGateway(t *testing.T) *gateway {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin") // where Debian has it
	if _, err := exec.LookPath("nginx"); err != nil {
		const missing = "nginx is not installed: apt-get install nginx-light"
		if _, ci := os.LookupEnv("CI"); ci {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	g := &gateway{looker: startFake(t, nil), base: &http.Transport{}}
	t.Cleanup(g.base.CloseIdleConnections)
	beside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		g.beside.Add(1)
	}))
	t.Cleanup(beside.Close)
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	startNginx(t, listener, fmt.Sprintf(nginxConf, addr, g.looker.URL, beside.URL))
	g.url = "http://" + addr + "/looker"
	return g
}

// startNginx gives the listener to an nginx that ends with the test, or with this process, if that
// is killed. Nobody has to wait until it serves, as connections wait in the listener.
func startNginx(t *testing.T, listener *net.TCPListener, conf string) {
	t.Helper()
	defer listener.Close()
	file, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `nginx -e stderr -p "$0" -c nginx.conf & exec 3<&-; cat; kill $!; wait`
	nginx := exec.Command("sh", "-c", script, dir)
	nginx.Env = append(os.Environ(), "NGINX=3;") // so one nginx tells the next what it inherits
	nginx.ExtraFiles = []*os.File{file}          // the first of these has the number 3
	nginx.Stdout, nginx.Stderr = t.Output(), t.Output()
	stdin, err := nginx.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = nginx.Wait() // it was killed
	})
}

// newCache returns a Cache that reaches Looker through the gateway.
func (g *gateway) newCache(t *testing.T) *lookerauth.Cache {
	t.Helper()
	cfg := g.looker.Config()
	cfg.BaseURL, cfg.Transport = g.url, g.base
	return newCache(t, cfg)
}

// A gateway that decodes leads whoever only encodes an id to another endpoint.
func TestNginxTakesAnEncodedIDForAPath(t *testing.T) {
	g := startGateway(t)
	for id, endpoint := range map[string]string{"../users": "/users", "789/../790": "/login/790"} {
		target := g.url + "/api/4.0/login/" + url.PathEscape(id)
		req, err := http.NewRequest(http.MethodPost, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := g.base.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		calls := g.looker.Requests()
		if last := calls[len(calls)-1]; last.Path != endpoint {
			t.Errorf("%s was sent to %s, want %s", id, last.Path, endpoint)
		}
	}
}

func TestUserIDChangesNoEndpointBehindNginx(t *testing.T) {
	g := startGateway(t)
	cache := g.newCache(t)
	if _, err := cache.ServiceAccount().Token(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{
		"789", "a-b_c", "me@looker.example", "a:b", "a b", ". .", "...", "..a", "a..", ".a", "-",
		"@", ":",
		strings.Repeat("x", 255),
	} {
		before := len(g.looker.Requests())
		if _, err := cache.User(id).Token(); err != nil {
			t.Errorf("%q: %v", id, err)
			continue
		}
		calls := g.looker.Requests()[before:]
		if len(calls) != 1 || calls[0].Method != http.MethodPost ||
			calls[0].Path != "/login/"+id || calls[0].UserID != id {
			t.Errorf("%q became %+v", id, calls)
		}
	}
	before := len(g.looker.Requests())
	for _, id := range []string{
		"", ".", "..", "../users", "789/../790", "../../../x", "..%2fusers", "%2e%2e",
		"%2e%2e%2fusers", "%252e%252e%252fusers", "a/b", "/", `a\b`, `..\users`, "a;b", "..;",
		"a?b", "a#b", "a%b", "a%20b", " ", "1 ", " 1", " .", ".. ", "a\tb", "1\n", "1\x00",
		"\xc0\xae\xc0\xae", "..\xc0\xafusers", "．．／users", "..∕users", "a+b", "ü",
		strings.Repeat("x", 256),
	} {
		if _, err := cache.User(id).Token(); !errors.Is(err, lookerauth.ErrInvalidIdentity) {
			t.Errorf("%q: got %v", id, err)
		}
	}
	if calls := g.looker.Requests()[before:]; len(calls) != 0 || g.beside.Load() != 0 {
		t.Errorf("calls for ids that are nobody's: %+v, and %d beside", calls, g.beside.Load())
	}
}

func TestRequestStaysBelowItsPrefixBehindNginx(t *testing.T) {
	g := startGateway(t)
	client := g.newCache(t).User("789").Client()
	for path, want := range map[string]string{
		"/looks/1":                  "/looks/1",
		"/looks/a%2Fb":              "/looks/a/b",
		"/J%C3%B6rg%20%F0%9F%99%82": "/Jörg 🙂",
		"/100%25":                   "/100%",
		"/a%2520b":                  "/a%20b",
		"/.../a..b/..c":             "/.../a..b/..c",
		"/search?q=/../../..":       "/search",
	} {
		resp, err := client.Get(g.url + "/api/4.0" + path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		resp.Body.Close()
		calls := g.looker.Requests()
		if last := calls[len(calls)-1]; last.Path != want || last.UserID != "789" {
			t.Errorf("%s became %+v", path, last)
		}
	}
	prefix, _, _ := strings.Cut(g.url, "/looker")
	for _, path := range []string{
		"/admin", "/lookers", "/looker%2f..%2fadmin", "/looker/../admin", "/looker/x/../../admin",
		"/looker/%2e%2e/admin", "/looker/%2E./admin", "/looker/..%2fadmin", "/looker/.%2e%2f/admin",
		"/looker/a%2f..%2f..%2fadmin", "/looker/%252e%252e/admin", "/looker/..%5cadmin",
		"/looker/..;/admin", "/looker/..%3b/admin", "/looker/..%3f/admin", "/looker/..%23/admin",
		"/looker/..%00/admin", "/looker/..%20/admin", "/looker/..%09/admin",
		"/looker/%c0%ae%c0%ae/admin", "/looker/..%c0%afadmin", "/looker/..%ef%bc%8fadmin",
	} {
		resp, err := client.Get(prefix + path)
		if err == nil {
			resp.Body.Close()
		}
		if !errors.Is(err, lookerauth.ErrForeignOrigin) || g.beside.Load() != 0 {
			t.Errorf("%s: got %v, and %d requests beside", path, err, g.beside.Swap(0))
		}
	}
}
