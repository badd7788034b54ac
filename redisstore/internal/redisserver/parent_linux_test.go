package redisserver

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// parentVariable has the directory of the server that this program starts, in place of tests.
const parentVariable = "REDISSERVER_PARENT"

func TestMain(m *testing.M) {
	dir := os.Getenv(parentVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	server, err := Start(dir)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(server.Addr)
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed, or its parent ends
	server.Stop()
}

func TestServerEndsWithAParentThatIsKilled(t *testing.T) {
	Require(t)
	program, err := os.Executable()
	check(t, err)
	parent := exec.Command(program)
	parent.Env = append(os.Environ(), parentVariable+"="+t.TempDir())
	stdin, err := parent.StdinPipe()
	check(t, err)
	defer stdin.Close()
	stdout, err := parent.StdoutPipe()
	check(t, err)
	check(t, parent.Start())
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	check(t, err)
	conn, err := net.Dial("tcp", strings.TrimSpace(addr))
	check(t, err)
	defer conn.Close()

	check(t, parent.Process.Kill())
	_ = parent.Wait() // it was killed, and says so
	check(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err = conn.Read(make([]byte, 1)) // the server sends nothing
	if timeout, ok := err.(net.Error); err == nil || ok && timeout.Timeout() {
		t.Errorf("the server goes on: %v", err)
	}
}
