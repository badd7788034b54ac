package lookertest

import (
	"io"
	"net"
	"net/http/httptest"
	"os"
	"testing"
)

func TestOnlyThisMachineReachesAServerWithoutAnAddress(t *testing.T) {
	for name, opt := range map[string]Option{"no option": {}, "empty": WithAddr("")} {
		listener := New(t, opt).server.Listener
		if addr := listener.Addr().(*net.TCPAddr); !addr.IP.IsLoopback() {
			t.Errorf("%s: listens on %v", name, addr)
		}
	}
}

func TestConnectionThatCloseCutsOffIsNoError(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Skip("this system has no pipes: ", err)
	}
	stderr := os.Stderr
	defer func() { os.Stderr = stderr }()
	os.Stderr = w
	looker := New(t, WithTLS())
	for range 100 {
		conn, err := net.Dial("tcp", looker.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() // it never says hello
	}
	resp, err := looker.Client().Get(looker.URL + "/api/4.0/alive") // by then they are accepted
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	looker.Close()
	w.Close()
	if text, err := io.ReadAll(r); len(text) > 0 || err != nil {
		t.Errorf("%s, %v", text, err)
	}
}

// elsewhere is a listener of another interface than loopback, which nobody reaches.
type elsewhere struct{ net.Listener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }

func TestConfigAllowsHTTPWhereTheServerIsReachedByIt(t *testing.T) {
	for _, looker := range []*Server{New(t), New(t, InMemory())} {
		if looker.Config().AllowHTTP {
			t.Error("allowed on loopback, which needs nothing")
		}
	}
	there := &Server{
		server:   &httptest.Server{Listener: elsewhere{}},
		versions: []string{"4.0"},
	}
	if !there.Config().AllowHTTP {
		t.Error("not allowed elsewhere")
	}
}

func TestURLOfEveryAddressIsOneThatIsReached(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:80":   "127.0.0.1:80",
		"[::]:80":      "127.0.0.1:80",
		"127.0.0.1:80": "127.0.0.1:80",
		"[::1]:80":     "[::1]:80",
		"192.0.2.1:80": "192.0.2.1:80",
	} {
		resolved, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(resolved); got != want {
			t.Errorf("%s is reached at %s, want %s", addr, got, want)
		}
	}
}
