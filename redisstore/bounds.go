package redisstore

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// A reply says how long it is before it comes, and go-redis makes room for that. With "$2000000000"
// a hostile server ends the process, and with a line that never ends. So the Store bounds what its
// client reads, on the connections themselves: go-redis reads more there than what was asked for.
const (
	maxReplies = 2 * maxSize // bytes that come after a command, and before the next one
	maxMembers = 384         // of all arrays and maps there
	maxLine    = 2 << 10     // bytes of a line, such as an error
)

var errTooMuch = errors.New("the server sends more than a reply can be")

// boundConnections has the connections bounded that the client makes from now on; those of a
// Cluster's nodes, if the client does not know the node yet.
func boundConnections(client redis.UniversalClient) {
	nodes, ok := client.(interface{ OnNewNode(func(*redis.Client)) })
	if !ok {
		client.AddHook(bounds{})
		return
	}
	nodes.OnNewNode(func(node *redis.Client) { node.AddHook(bounds{}) })
}

// bounds is a hook that bounds connections.
type bounds struct{}

func (bounds) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return bound(conn), nil
	}
}

func (bounds) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (bounds) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// bound returns the connection, bounded.
func bound(conn net.Conn) net.Conn {
	switch conn.(type) {
	case *boundedConn, boundedSocket: // the client has two Stores
		return conn
	}
	bounded := &boundedConn{Conn: conn, isBounded: true, replies: newReplies()}
	if socket, ok := conn.(syscall.Conn); ok {
		return boundedSocket{bounded, socket}
	}
	return bounded
}

// boundedSocket is a boundedConn whose socket the client looks at, to see whether it is alive.
type boundedSocket struct {
	*boundedConn
	syscall.Conn
}

// boundedConn reads little after commands whose replies are small: those of a Store, and of the
// handshake. The client may be used for others, too, whose replies it lets through.
type boundedConn struct {
	net.Conn

	mu        sync.Mutex // guards what is below
	isBounded bool       // the last command was one of those
	replies   replies
	err       error // ends what is read, for good
}

// NetConn returns the connection within, for who looks for its socket.
func (c *boundedConn) NetConn() net.Conn { return c.Conn }

func (c *boundedConn) Write(p []byte) (int, error) {
	c.expect(p)
	return c.Conn.Write(p)
}

// expect prepares for the replies to what is being written.
func (c *boundedConn) expect(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.HasPrefix(p, []byte("*")) { // else it goes on with a long command
		c.isBounded, c.replies = haveSmallReplies(p), newReplies()
	}
}

func (c *boundedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isBounded && c.err == nil {
		c.err = c.replies.pass(p[:n])
	}
	if c.err != nil {
		return 0, c.err
	}
	return n, err
}

// replies are what comes after a command. It sees each length before the client does.
type replies struct {
	bytes   int    // that may still come
	members int    // that may still be announced
	rest    int    // bytes of a string that are still to come
	line    []byte // as far as it has come
}

func newReplies() replies { return replies{bytes: maxReplies, members: maxMembers} }

// pass returns an error if p must not reach the client.
func (r *replies) pass(p []byte) error {
	if r.bytes -= len(p); r.bytes < 0 {
		return errTooMuch
	}
	for len(p) > 0 {
		n := min(r.rest, len(p))
		r.rest, p = r.rest-n, p[n:]
		line, after, isWhole := bytes.Cut(p, []byte("\n"))
		if len(r.line)+len(line) > maxLine {
			return errTooMuch
		}
		r.line, p = append(r.line, line...), after
		if !isWhole {
			break
		}
		if err := r.announce(r.line); err != nil {
			return err
		}
		r.line = r.line[:0]
	}
	return nil
}

// announce takes note of what a line says will follow.
func (r *replies) announce(line []byte) error {
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return nil
	}
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < 0 { // nothing follows, by the client's reading, too
		return nil
	}
	switch line[0] {
	case '$', '=', '!': // strings
		if n > maxReplies {
			return errTooMuch
		}
		r.rest = n + len("\r\n")
	case '*', '~', '>', '%', '|': // arrays and maps
		if n > r.members {
			return errTooMuch
		}
		r.members -= n
	}
	return nil
}

// haveSmallReplies reports whether p is commands whose replies are small, and nothing else. The
// last one may be cut.
func haveSmallReplies(p []byte) bool {
	for len(p) > 0 {
		var args [4][]byte // the first ones
		n, rest, ok := cutNumber(p, '*')
		for i := 0; i < n && ok; i++ {
			var size int
			size, rest, ok = cutNumber(rest, '$')
			if ok = ok && size <= len(rest)-len("\r\n"); !ok {
				rest = nil
				break
			}
			if i < len(args) {
				args[i] = rest[:size]
			}
			rest = rest[size+len("\r\n"):]
		}
		if !hasSmallReply(args) {
			return false
		}
		p = rest
	}
	return true
}

// cutNumber cuts a line that is a number after kind.
func cutNumber(p []byte, kind byte) (n int, rest []byte, ok bool) {
	line, rest, ok := bytes.Cut(p, []byte("\r\n"))
	if !ok || len(line) == 0 || line[0] != kind {
		return 0, nil, false
	}
	n, err := strconv.Atoi(string(line[1:]))
	return n, rest, err == nil && n >= 0
}

// hasSmallReply reports whether a command that begins so is one of a Store or of the handshake.
func hasSmallReply(args [4][]byte) bool {
	is := func(i int, text string) bool { return string(args[i]) == text }
	switch string(args[0]) {
	case "getrange":
		return is(2, "0") && is(3, strconv.Itoa(maxSize))
	case "evalsha":
		return is(1, swapScript.Hash())
	case "eval":
		return is(1, swapSource)
	case "client":
		return is(1, "setinfo") || is(1, "setname") || is(1, "maint_notifications")
	case "hello", "auth", "select", "readonly", "asking":
		return true
	}
	return false
}
