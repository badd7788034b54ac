package lookertest

import (
	"net"
	"testing"
)

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
