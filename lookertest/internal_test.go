package lookertest

import (
	"bytes"
	"log"
	"net"
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
	var logged bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&logged)
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
	if logged.Len() > 0 {
		t.Error(logged.String())
	}
}

func TestConfigAllowsHTTPWhereItsURLNeedsThat(t *testing.T) {
	for url, want := range map[string]bool{
		"http://127.0.0.1:80":  false,
		"http://[::1]:80":      false,
		"http://192.0.2.1:80":  true,
		"https://192.0.2.1:80": false,
	} {
		looker := New(t)
		looker.URL = url
		if looker.Config().AllowHTTP != want {
			t.Errorf("%s: AllowHTTP is not %v", url, want)
		}
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
