package redisserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Require skips the test where redis-server is not installed. If the environment has CI in it, the
// test fails instead.
func Require(t testing.TB) {
	t.Helper()
	_, err := findServer()
	if _, ci := os.LookupEnv("CI"); err != nil && !ci {
		t.Skip(err)
	}
	check(t, err)
}

// New starts a server that is stopped at the end of the test. args are those of [Start]. It needs
// what [Require] does.
func New(t testing.TB, args ...string) *Server {
	t.Helper()
	Require(t)
	s, err := Start(t.TempDir(), args...)
	check(t, err)
	t.Cleanup(s.Stop)
	return s
}

// masterName is what a Sentinel calls its master.
const masterName = "main"

// NewSentinel starts a server, and a Sentinel that watches it. It returns the Sentinel, and the
// name it has for the server. Both are stopped at the end of the test.
func NewSentinel(t testing.TB) (sentinel *Server, master string) {
	t.Helper()
	_, port, _ := strings.Cut(New(t).Addr, ":")
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	line := fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s 1\n", masterName, port)
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel, err := start("+monitor master", []string{file, "--sentinel", "--dir", t.TempDir()})
	check(t, err)
	t.Cleanup(sentinel.Stop)
	return sentinel, masterName
}

// slots is how many slots every Cluster has.
const slots = 16_384

// NewCluster starts a Cluster of three masters, waits until it serves, and returns their addresses.
// They are stopped at the end of the test.
func NewCluster(t testing.TB) []string {
	t.Helper()
	const size = 3
	var addrs []string
	var nodes []*redis.Client
	for i := range size {
		node := New(t, "--cluster-enabled", "yes", "--cluster-port", freePort(),
			"--cluster-config-file", fmt.Sprintf("nodes-%d.conf", i))
		client := redis.NewClient(&redis.Options{Addr: node.Addr})
		t.Cleanup(func() { client.Close() })
		addrs, nodes = append(addrs, node.Addr), append(nodes, client)
	}
	for i, node := range nodes {
		check(t, node.ClusterAddSlotsRange(t.Context(), i*slots/size, (i+1)*slots/size-1).Err())
	}
	host, port, _ := net.SplitHostPort(addrs[0])
	for _, node := range nodes[1:] {
		check(t, node.Do(t.Context(), "CLUSTER", "MEET", host, port, busPort(t, nodes[0])).Err())
	}
	for _, node := range nodes {
		awaitCluster(t, node, size)
	}
	return addrs
}

// busPort is the port at which the other nodes reach this one.
func busPort(t testing.TB, node *redis.Client) string {
	t.Helper()
	config, err := node.ConfigGet(t.Context(), "cluster-port").Result()
	check(t, err)
	return config["cluster-port"]
}

// awaitCluster waits until the node serves all slots, together with the others.
func awaitCluster(t testing.TB, node *redis.Client, size int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	want := fmt.Sprintf("cluster_known_nodes:%d\r\n", size)
	for {
		info, err := node.ClusterInfo(ctx).Result()
		check(t, err)
		if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
