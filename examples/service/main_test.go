//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/lookerauth/lookerauth/lookertest"
)

// setEnv leads the program to the Looker.
func setEnv(t *testing.T, looker *lookertest.Server) {
	t.Helper()
	cfg := looker.Config()
	for name, value := range map[string]string{
		"BASE_URL": cfg.BaseURL, "CLIENT_ID": cfg.ClientID, "CLIENT_SECRET": cfg.ClientSecret,
		"API_VERSION": "", "VERIFY_SSL": "", "TIMEOUT": "",
	} {
		t.Setenv("LOOKERSDK_"+name, value)
	}
	t.Setenv("REDIS_URL", "")
}

// startProgram starts the service as a process, and returns where it is.
func startProgram(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	program := exec.CommandContext(t.Context(), os.Args[0], "-listen", "127.0.0.1:0")
	program.Env = append(os.Environ(), programVariable+"=1")
	program.Stderr = os.Stderr
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the program ended: %v, %v", err, program.Wait())
	}
	return program, strings.TrimSpace(strings.TrimPrefix(line, "Open "))
}

// terminate sends SIGTERM, and fails the test unless the program ends well.
func terminate(t *testing.T, program *exec.Cmd) {
	t.Helper()
	if err := program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := program.Wait(); err != nil {
		t.Error(err)
	}
}

// browse signs the customer in, and posts to the path.
func browse(t *testing.T, site, customer, path string) {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	form := url.Values{"customer": {customer}}
	for _, path := range []string{"/sign-in", path} {
		resp, err := client.PostForm(site+path, form)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s of %s: %s", path, customer, resp.Status)
		}
	}
}

func TestProgramLeavesExportedTokensAlive(t *testing.T) {
	looker := lookertest.New(t)
	fill(looker)
	setEnv(t, looker)
	login := make(chan struct{})
	once := sync.OnceFunc(func() { close(login) })
	looker.FailFunc(func(r lookertest.Request) lookertest.Fault {
		if r.Op == lookertest.OpLogin {
			once()
		}
		return lookertest.Fault{}
	})
	program, site := startProgram(t)
	<-login                            // before any customer comes
	browse(t, site, "ann", "/sign-in") // leads to the page, which is hers: no token is exported
	browse(t, site, "bob", "/looker-token")
	want := map[string]int{lookertest.ServiceAccountID: 1, "789": 1, "790": 1}
	if alive := looker.Alive(); !maps.Equal(alive, want) {
		t.Errorf("alive are %v, want %v", alive, want)
	}
	terminate(t, program)
	want = map[string]int{"790": 1}
	if alive := looker.Alive(); !maps.Equal(alive, want) {
		t.Errorf("after the end alive are %v, want %v", alive, want)
	}
}

func TestProgramStartsWithoutAnySetting(t *testing.T) {
	t.Setenv("LOOKERSDK_BASE_URL", "")
	program, site := startProgram(t)
	browse(t, site, "ann", "/looker-token")
	terminate(t, program)
}

func TestProgramLeavesNoGoroutine(t *testing.T) {
	t.Setenv("LOOKERSDK_BASE_URL", "")
	ended, end := context.WithCancel(t.Context())
	end()
	if err := run(ended, "127.0.0.1:0", "1", demoCustomers); err != nil { // and TestMain looks
		t.Error(err)
	}
}

func TestServiceThatCannotServeFails(t *testing.T) {
	listener := listen(t, "127.0.0.1:0")
	listener.Close()
	err := serve(t.Context(), listener, lookertest.New(t).Config(), testSettings)
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}

func TestProgramSaysWhatIsWrongWithItsSettings(t *testing.T) {
	setEnv(t, lookertest.New(t))
	for _, try := range [][3]string{
		{"SESSION_KEY", "short", "SESSION_KEY is not 64 hex"},
		{"REDIS_URL", "redis//:secret", "REDIS_URL is no address"},
		{"REDIS_URL", "redis://localhost", "TOKEN_STORE_KEY is not 64 hex"},
		{"LOOKERSDK_CLIENT_ID", "", "LOOKERSDK_CLIENT_ID is not set"},
	} {
		t.Run(try[0]+"="+try[1], func(t *testing.T) {
			t.Setenv(try[0], try[1])
			err := run(t.Context(), "127.0.0.1:0", "1", nil)
			if err == nil || !strings.Contains(err.Error(), try[2]) ||
				strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %v, want %q", err, try[2])
			}
		})
	}
}

func TestProcessesShareTokensThroughRedis(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(t, "redis-server is not installed: apt-get install redis-server")
	}
	looker := lookertest.New(t)
	fill(looker)
	setEnv(t, looker)
	t.Setenv("REDIS_URL", "unix://"+startRedis(t))
	t.Setenv("TOKEN_STORE_KEY", strings.Repeat("0f", 32))
	for range 2 {
		program, site := startProgram(t)
		browse(t, site, "ann", "/looker-token")
		terminate(t, program)
	}
	if logins := looker.Count(lookertest.OpLoginUser, "789"); logins != 1 {
		t.Errorf("%d logins, want 1", logins)
	}
}

// startRedis returns the socket of a Redis, which ends with the test.
func startRedis(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := dir + "/s"
	server := exec.Command("redis-server", "--port", "0", "--save", "", "--unixsocket", socket)
	server.Dir = dir
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = os.RemoveAll(dir)
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "eady to accept connections") {
			return socket
		}
	}
	t.Fatal("Redis does not start")
	return ""
}
