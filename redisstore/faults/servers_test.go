//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth/redisstore"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

// newClient returns a client of a server, for what the test itself does there.
func newClient(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { client.Close() })
	return client
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	for !holds() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, guard)
		}
	}
}

// info returns a field of what a server says of itself.
func info(t *testing.T, server *redis.Client, section, field string) string {
	t.Helper()
	text, err := server.Info(t.Context(), section).Result()
	check(t, err)
	_, after, _ := strings.Cut(text, "\r\n"+field+":")
	value, _, _ := strings.Cut(after, "\r\n")
	return value
}

// newFailover starts a master, its replica, and a Sentinel that soon sees if the master has gone.
func newFailover(t *testing.T) (sentinel, name, master, replica string) {
	t.Helper()
	watcher, name := redisserver.NewSentinel(t)
	client := redis.NewSentinelClient(&redis.Options{Addr: watcher.Addr})
	t.Cleanup(func() { client.Close() })
	addr, err := client.GetMasterAddrByName(t.Context(), name).Result()
	check(t, err)
	replica = redisserver.New(t, "--replicaof", addr[0], addr[1]).Addr
	eventually(t, "the replica follows the master", func() bool {
		return info(t, newClient(t, replica), "replication", "master_link_status") == "up"
	})
	for option, value := range map[string]string{
		"down-after-milliseconds": "500", "failover-timeout": "2000",
	} {
		check(t, client.Set(t.Context(), name, option, value).Err())
	}
	check(t, client.Reset(t.Context(), name).Err()) // it looks for replicas at once
	eventually(t, "the Sentinel sees the replica", func() bool {
		replicas, err := client.Replicas(t.Context(), name).Result()
		return err == nil && len(replicas) == 1
	})
	return watcher.Addr, name, net.JoinHostPort(addr[0], addr[1]), replica
}

// killServer kills a server that the test has started.
func killServer(t *testing.T, addr string) {
	t.Helper()
	id, err := strconv.Atoi(info(t, newClient(t, addr), "server", "process_id"))
	check(t, err)
	server, err := os.FindProcess(id)
	check(t, err)
	check(t, server.Kill())
}

// The master is killed under the fleet, and its replica takes its place. Until then, processes go
// on alone: each logs each user in once at most. Whom they had logged in before costs nothing.
func TestFailoverFailsNoRequest(t *testing.T) {
	sentinel, name, master, replica := newFailover(t)
	f := newFleet(t, new(clock), func() redis.UniversalClient {
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: name, SentinelAddrs: []string{sentinel},
		})
	})
	if n := f.requestAll("before"); n < users {
		t.Errorf("%d logins of %d users", n, users)
	}
	killServer(t, master)
	if n := f.requestAll("during"); n < users || n > users*processes {
		t.Errorf("%d logins of %d users in %d processes", n, users, processes)
	}
	if f.errors() == 0 {
		t.Error("nobody noticed")
	}
	if n := f.requestAll("before"); n > 0 {
		t.Errorf("%d logins of users who were logged in", n)
	}
	eventually(t, "the replica is the master", func() bool {
		return info(t, newClient(t, replica), "replication", "role") == "master"
	})
	f.awaitSharing()
}

// mover moves a slot between a Cluster's masters.
type mover struct {
	t     *testing.T
	nodes []*redis.Client
	ids   []string
	slot  int64
	keys  int // moved, so far
}

// newMover returns one of the slot that a key is in, and the master that has it.
func newMover(t *testing.T, addrs []string, key string) (m *mover, owner int) {
	t.Helper()
	m = &mover{t: t}
	for i, addr := range addrs {
		node := newClient(t, addr)
		id, err := node.Do(t.Context(), "CLUSTER", "MYID").Text()
		check(t, err)
		m.nodes, m.ids = append(m.nodes, node), append(m.ids, id)
		if _, err := node.Get(t.Context(), key).Result(); errors.Is(err, redis.Nil) {
			owner = i
		}
	}
	slot, err := m.nodes[0].ClusterKeySlot(t.Context(), key).Result()
	check(t, err)
	m.slot = slot
	return m, owner
}

// moveAround moves the slot to each of the masters, twice.
func (m *mover) moveAround(owner int) error {
	for range 2 * len(m.nodes) {
		next := (owner + 1) % len(m.nodes)
		if err := m.move(m.t.Context(), owner, next); err != nil {
			return err
		}
		owner = next
	}
	return nil
}

// move moves the slot as redis-cli does. Between two steps clients are sent from one master to the
// other.
func (m *mover) move(ctx context.Context, from, to int) error {
	setSlot := func(node int, args ...any) error {
		all := append([]any{"CLUSTER", "SETSLOT", m.slot}, args...)
		return m.nodes[node].Do(ctx, all...).Err()
	}
	if err := setSlot(to, "IMPORTING", m.ids[from]); err != nil {
		return err
	}
	if err := setSlot(from, "MIGRATING", m.ids[to]); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(m.nodes[to].Options().Addr)
	for {
		keys, err := m.nodes[from].ClusterGetKeysInSlot(ctx, int(m.slot), 100).Result()
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		m.keys += len(keys)
		for _, key := range keys {
			if err := m.nodes[from].Migrate(ctx, host, port, key, 0, guard).Err(); err != nil {
				return err
			}
		}
	}
	for _, node := range []int{to, from} {
		if err := setSlot(node, "NODE", m.ids[to]); err != nil {
			return err
		}
	}
	return nil
}

// All that is in a Cluster goes from master to master while the fleet works, as it is in one slot.
// Values are never away, and clients are told where they are: each user is logged in once.
func TestSlotThatMovesCostsNoLogin(t *testing.T) {
	addrs := redisserver.NewCluster(t)
	const prefix = "{lookerauth}:"
	f := newFleet(t, &clock{stands: true, start: time.Now()}, func() redis.UniversalClient {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ReadTimeout: guard})
	}, redisstore.WithPrefix(prefix))
	f.requestAll("before")
	m, owner := newMover(t, addrs, prefix)
	done := make(chan error, 1)
	go func() { done <- m.moveAround(owner) }()
	for i, moves := 0, true; moves; i++ {
		select {
		case err := <-done:
			check(t, err)
			moves = false
		default:
		}
		if n := f.requestAll(fmt.Sprint("during-", i)); n != users {
			t.Errorf("%d logins of %d users", n, users)
		}
	}
	if n := f.errors(); n > 0 {
		t.Errorf("%d calls of the Store failed", n)
	}
	if m.keys < users {
		t.Errorf("%d keys were moved", m.keys)
	}
}
