package lookertest

import (
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
