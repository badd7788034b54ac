//go:build unix

package redisstore_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
	"github.com/lookerauth/lookerauth/redisstore"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

const huge = "137438953472" // 2^37: of members, two terabytes

var (
	x4096 = strings.Repeat("x", 4096)
	xMiB  = strings.Repeat("x", 1<<20)
	long  = "$4096\r\n" + x4096 + "\r\n"
)

// hostile are replies that no server sends to a Store.
var hostile = map[string]answer{
	"nothing":                    {},
	"silence":                    {silent: true},
	"half a line":                {text: "$12", silent: true},
	"half a string":              {text: "$12\r\nabc", silent: true},
	"half a string, and the end": {text: "$12\r\nabc"},
	"garbage":                    {text: "GET / HTTP/1.1\r\nHost: redis\r\n\r\n"},
	"empty lines":                {text: strings.Repeat("\r\n", 1000)},
	"zeros":                      {text: string(make([]byte, 4096))},
	"line feeds only":            {text: "$3\nabc\n"},
	"string of 2^63-8":           {text: "$9223372036854775800\r\nabc"},
	"string of 2^63-1":           {text: "$9223372036854775807\r\nabc"},
	"string of 2^64":             {text: "$18446744073709551616\r\nabc"},
	"string of a terabyte":       {text: "$1099511627776\r\nabc"},
	"string of 400 MiB":          {text: "$419430400\r\n", forever: x4096},
	"string of -2":               {text: "$-2\r\nabc"},
	"string of -2^63":            {text: "$-9223372036854775808\r\nabc"},
	"string, and more":           {text: "$3\r\nabc\r\n$3\r\nabc\r\n", silent: true},
	"string, and a push":         {text: "$3\r\nabc\r\n>" + huge + "\r\n", silent: true},
	"string without its end":     {text: "$3\r\nabcdefgh\r\n", silent: true},
	"slow string":                {text: long, slowly: true},
	"streamed string":            {text: "$?\r\n;4\r\nabcd\r\n;0\r\n"},
	"endless streamed string":    {text: "$?\r\n", forever: ";4\r\nabcd\r\n"},
	"null of RESP2":              {text: "$-1\r\n", silent: true},
	"null array":                 {text: "*-1\r\n", silent: true},
	"null of RESP3":              {text: "_\r\n", silent: true},
	"null, and a huge string":    {text: "$-1\r\n$1099511627776\r\n"},
	"null with a text":           {text: "_null\r\n", silent: true},
	"null map":                   {text: "%-1\r\n", silent: true},
	"array of 2^37":              {text: "*" + huge + "\r\n"},
	"array of 2^63-1":            {text: "*9223372036854775807\r\n"},
	"array of -2":                {text: "*-2\r\n"},
	"array":                      {text: "*2\r\n$3\r\nabc\r\n$3\r\nabc\r\n", silent: true},
	"array of errors":            {text: "*2\r\n-ERR one\r\n!3\r\nERR\r\n", silent: true},
	"endless array":              {text: "*300\r\n", forever: ":1\r\n"},
	"array of huge arrays":       {text: "*2\r\n*" + huge + "\r\n"},
	"array of a huge string":     {text: "*2\r\n$1099511627776\r\n"},
	"array of long strings":      {text: "*32\r\n" + strings.Repeat(long, 32)},
	"array with a false end":     {text: "*2\r\n$3\r\nabcXX$1099511627776\r\n"},
	"endless empty attributes":   {forever: strings.Repeat("|0\r\n", 1000)},
	"nested arrays":              {text: strings.Repeat("*1\r\n", 1<<18)},
	"endlessly nested arrays":    {forever: strings.Repeat("*1\r\n", 1<<10)},
	"streamed array":             {text: "*?\r\n:1\r\n:2\r\n.\r\n"},
	"set of 2^37":                {text: "~" + huge + "\r\n"},
	"set":                        {text: "~1\r\n:1\r\n", silent: true},
	"map of 2^37":                {text: "%" + huge + "\r\n"},
	"map of 2^62":                {text: "%4611686018427387904\r\n"},
	"map":                        {text: "%1\r\n+key\r\n+value\r\n", silent: true},
	"map by arrays":              {text: "%1\r\n*1\r\n:1\r\n+value\r\n", silent: true},
	"map by errors":              {text: "%1\r\n-ERR key\r\n+value\r\n", silent: true},
	"map by NaN":                 {text: "%2\r\n,nan\r\n+a\r\n,nan\r\n+b\r\n", silent: true},
	"push of 2^37":               {text: ">" + huge + "\r\n+name\r\n"},
	"push of a huge string":      {text: ">2\r\n+name\r\n$1099511627776\r\n"},
	"push with a huge name":      {text: ">1\r\n$9223372036854775807\r\nname"},
	"push of a huge array":       {text: ">2\r\n+invalidate\r\n*" + huge + "\r\n"},
	"push of nothing":            {text: ">0\r\n"},
	"push to a subscriber":       {text: ">3\r\n+message\r\n+channel\r\n+text\r\n", silent: true},
	"push of a move":             {text: ">3\r\n+MOVING\r\n:1\r\n:1\r\n", silent: true},
	"endless pushes":             {forever: strings.Repeat(">1\r\n+name\r\n", 100)},
	"attribute of 2^37":          {text: "|" + huge + "\r\n"},
	"attribute of 2^62":          {text: "|4611686018427387904\r\n"},
	"attribute only":             {text: "|1\r\n+key\r\n+value\r\n", silent: true},
	"endless attributes":         {forever: strings.Repeat("|1\r\n+key\r\n+value\r\n", 100)},
	"verbatim string":            {text: "=7\r\ntxt:abc\r\n", silent: true},
	"verbatim string of 2":       {text: "=2\r\nab\r\n", silent: true},
	"verbatim string of 2^63-8":  {text: "=9223372036854775800\r\ntxt:abc"},
	"huge verbatim string":       {text: "=1099511627776\r\ntxt:abc"},
	"big number":                 {text: "(" + strings.Repeat("9", 4096) + "\r\n", silent: true},
	"big number of 1 MiB":        {text: "(" + strings.Repeat("9", 1<<20) + "\r\n"},
	"number":                     {text: ":12\r\n", silent: true},
	"number beyond 64 bits":      {text: ":99999999999999999999\r\n", silent: true},
	"double":                     {text: ",1.5\r\n", silent: true},
	"double that is none":        {text: ",one\r\n", silent: true},
	"boolean":                    {text: "#t\r\n", silent: true},
	"boolean that is none":       {text: "#x\r\n", silent: true},
	"line of 1 MiB":              {text: "+" + xMiB + "\r\n"},
	"endless line":               {text: "+", forever: x4096},
	"endless length":             {text: "$", forever: strings.Repeat("0", 4096)},
	"error":                      {text: "-ERR no\r\n", silent: true},
	"error of 1 MiB":             {text: "-ERR " + xMiB + "\r\n"},
	"endless error":              {text: "-ERR ", forever: x4096},
	"error without a text":       {text: "-\r\n", silent: true},
	"error of another node":      {text: "-MOVED 1 192.0.2.1:1\r\n", silent: true},
	"error of no script":         {text: "-NOSCRIPT no\r\n", silent: true},
	"blob error":                 {text: "!6\r\nERR no\r\n", silent: true},
	"blob error of 1 MiB":        {text: "!1048576\r\n" + xMiB + "\r\n"},
	"blob error of 2^63-8":       {text: "!9223372036854775800\r\nERR no"},
	"huge blob error":            {text: "!1099511627776\r\nERR no"},
	"unknown type":               {text: "@3\r\nabc\r\n", silent: true},
}

// newScriptedStore returns a Store whose client has small buffers, so that a new connection costs
// little, and does not try again.
func newScriptedStore(t *testing.T, addr string, readTimeout time.Duration) *redisstore.Store {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: addr, ReadBufferSize: 512, WriteBufferSize: 2048, MaxRetries: -1,
		ReadTimeout: readTimeout, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { client.Close() })
	return redisstore.New(client)
}

// wantBounded fails the test if an operation that a hostile server answers allocates more than
// this.
func wantBounded(t *testing.T, store *redisstore.Store, operation string, most uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // some answers never end
	defer cancel()
	n := allocated(func() { _ = operations[operation](ctx, store) })
	if n > most {
		t.Errorf("%d bytes were allocated", n)
	}
}

// wantWell fails the test unless the store works, with a server that is well.
func wantWell(t *testing.T, store *redisstore.Store) {
	t.Helper()
	wantValue(t, store, "name", "")
	swap(t, store, "name", "", "value", "value")
}

// allocated returns how much f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHostileReplyIsBounded(t *testing.T) {
	server := newScripted(t)
	for command, operation := range map[string]string{
		"getrange": "Get", "evalsha": "CompareAndSwap", "eval": "CompareAndSwap",
	} {
		for name, reply := range hostile {
			t.Run(command+"/"+name, func(t *testing.T) {
				store := newScriptedStore(t, server.addr, guard)
				wantWell(t, store) // it is connected then
				answers := map[string]answer{command: reply}
				if command == "eval" {
					answers["evalsha"] = hostile["error of no script"]
				}
				server.answer(answers)
				wantBounded(t, store, operation, 64<<10)
				server.heal()
				wantWell(t, store)
			})
		}
	}
}

func TestHostileHandshakeIsBounded(t *testing.T) {
	server := newScripted(t)
	for _, command := range []string{"hello", "client"} {
		for name, reply := range hostile {
			t.Run(command+"/"+name, func(t *testing.T) {
				store := newScriptedStore(t, server.addr, guard)
				server.answer(map[string]answer{command: reply})
				wantBounded(t, store, "Get", 128<<10) // of which a connection has a part
				server.heal()
				wantWell(t, store)
			})
		}
	}
}

// Which commands there are in a handshake depends on the client.
func TestEachReplyInAHandshakeIsBounded(t *testing.T) {
	server := newScripted(t)
	for _, command := range []string{
		"hello", "auth", "select", "client setname", "client setinfo", "client maint_notifications",
	} {
		t.Run(command, func(t *testing.T) {
			client := redis.NewClient(&redis.Options{
				Addr: server.addr, ReadBufferSize: 512, WriteBufferSize: 2048, MaxRetries: -1,
				Password: "password", DB: 1, ClientName: "name",
			})
			defer client.Close()
			store := redisstore.New(client)
			answers := map[string]answer{command: hostile["endless line"]}
			if command == "auth" {
				answers["hello"] = hostile["error"]
			}
			server.answer(answers)
			wantBounded(t, store, "Get", 128<<10)
			if server.hostile.Swap(0) == 0 {
				t.Error("there is no such command in the handshake")
			}
			server.heal()
			wantWell(t, store)
		})
	}
}

// A long command is written in parts.
func TestReplyToALongCommandIsBounded(t *testing.T) {
	server := newScripted(t)
	store := newScriptedStore(t, server.addr, guard)
	wantWell(t, store)
	server.answer(map[string]answer{"evalsha": hostile["endless line"]})
	n := allocated(func() {
		_, err := store.CompareAndSwap(t.Context(), "name", nil, []byte(x4096+x4096), time.Hour)
		if err == nil {
			t.Error("no error")
		}
	})
	if n > 64<<10 {
		t.Errorf("%d bytes were allocated", n)
	}
}

func TestHostileNodeOfAClusterIsBounded(t *testing.T) {
	server := newScripted(t)
	nodes := []redis.ClusterSlot{{End: 16383, Nodes: []redis.ClusterNode{{Addr: server.addr}}}}
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{server.addr}, ReadBufferSize: 512, WriteBufferSize: 2048, MaxRedirects: -1,
		ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) { return nodes, nil },
	})
	defer client.Close()
	store := redisstore.New(client)
	wantWell(t, store)
	server.answer(map[string]answer{
		"getrange": hostile["endless line"], "evalsha": hostile["endless line"],
	})
	for operation := range operations {
		wantBounded(t, store, operation, 128<<10)
	}
	server.heal()
	wantWell(t, store)
}

// Whatever the server says, an identity is logged in once, and its requests succeed.
func TestHostileServerCostsALoginOfEachIdentity(t *testing.T) {
	server := newScripted(t)
	for name, reply := range hostile {
		t.Run(name, func(t *testing.T) {
			server.answer(map[string]answer{"getrange": reply, "evalsha": reply, "eval": reply})
			looker := lookertest.New(t)
			cfg := looker.Config()
			cfg.Store = newScriptedStore(t, server.addr, 100*time.Millisecond)
			cfg.StoreKeys = [][]byte{[]byte("a key that is made of 32 letters")}
			cache, err := lookerauth.New(cfg)
			check(t, err)
			defer cache.Close(context.Background())
			for range 3 {
				for _, id := range []string{"1", "2", "3"} {
					_, err := cache.User(id).TokenContext(t.Context())
					check(t, err)
				}
			}
			if n := looker.Count(lookertest.OpLogin, ""); n != 1 {
				t.Errorf("%d logins of the service account", n)
			}
			if n := looker.Count(lookertest.OpLoginUser, ""); n != 3 {
				t.Errorf("%d logins of 3 users", n)
			}
		})
	}
}

// Others who use the client may have replies as long as they please.
func TestReplyToOthersIsNotBounded(t *testing.T) {
	server := newScripted(t)
	client := newClient(t, server.addr)
	store := redisstore.New(client)
	long := xMiB
	reply := answer{text: fmt.Sprintf("$%d\r\n%s\r\n", len(long), long), silent: true}
	server.answer(map[string]answer{"get": reply})
	for range 2 {
		wantWell(t, store)
		got, err := client.Get(t.Context(), "report").Result()
		if err != nil || got != long {
			t.Errorf("a string of %d bytes, %v, want %d", len(got), err, len(long))
		}
		pipe := client.Pipeline()
		pipe.GetRange(t.Context(), "report", 0, 8<<10)
		last := pipe.Get(t.Context(), "report")
		_, err = pipe.Exec(t.Context())
		if err != nil || last.Val() != long {
			t.Errorf("in a pipeline: a string of %d bytes, %v", len(last.Val()), err)
		}
	}
}

// What others write is cut where the client's buffer ends, be it in the middle of what looks like a
// command.
func TestOthersMayWriteWhatTheyPlease(t *testing.T) {
	client := redis.NewClient(&redis.Options{
		Addr: redisserver.New(t).Addr, WriteBufferSize: 64,
	})
	defer client.Close()
	store := redisstore.New(client)
	for _, part := range []string{
		"x", "*", "*1", "*1\r\n", "*\r\n", "*-1\r\n", "*1\r\n$9\r\n", "*1\r\n$-1\r\n", "\r\n",
	} {
		for i := range 100 * len(part) {
			value := strings.Repeat(part, 101)[i/100:][:i%100]
			check(t, client.Set(t.Context(), "report", value, time.Hour).Err())
			got, err := client.Get(t.Context(), "report").Result()
			if err != nil || got != value {
				t.Errorf("%q: %q, %v", value, got, err)
			}
		}
		wantValue(t, store, "name", "")
	}
	check(t, client.Set(t.Context(), "report", xMiB, time.Hour).Err())
	got, err := client.GetRange(t.Context(), "report", 0, -1).Result()
	if err != nil || got != xMiB {
		t.Errorf("a string of %d bytes, %v", len(got), err)
	}
}

func TestConnectionThatIsNoSocketIsUsedAgain(t *testing.T) {
	addr, dials := redisserver.New(t).Addr, 0
	client := redis.NewClient(&redis.Options{
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			dials++
			conn, err := net.Dial("tcp", addr)
			return struct{ net.Conn }{conn}, err
		},
	})
	defer client.Close()
	store := redisstore.New(client)
	wantValue(t, store, "name", "")
	wantValue(t, store, "name", "")
	if dials != 1 {
		t.Errorf("%d connections, want 1", dials)
	}
}

func TestClientThatPanicsIsAnError(t *testing.T) {
	store := newStore(t, nowhere, hook(func(context.Context, redis.Cmder) error {
		panic("no")
	}))
	for name, operation := range operations {
		err := operation(t.Context(), store)
		if err == nil || !strings.Contains(err.Error(), "the client panicked: no") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
