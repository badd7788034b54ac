//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
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
}

// write returns the path of a file with this text.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// program is the gateway as a process.
type program struct {
	*exec.Cmd
	out *bufio.Scanner
}

func startProgram(t *testing.T, args ...string) program {
	t.Helper()
	args = append([]string{"-listen", "127.0.0.1:0"}, args...)
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), programVariable+"=1")
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return program{command, bufio.NewScanner(out)}
}

// exported returns what the program says to set.
func (p program) exported(t *testing.T) map[string]string {
	t.Helper()
	values := make(map[string]string)
	for values["BASE_URL"] == "" {
		if !p.out.Scan() {
			t.Fatalf("the program ended: %v", p.Wait())
		}
		for _, set := range variable.FindAllStringSubmatch(p.out.Text(), -1) {
			values[set[1]] = set[2]
		}
	}
	return values
}

var variable = regexp.MustCompile(`LOOKERSDK_(\w+)=(\S+)`)

// served is what to call the program with.
func (p program) served(set map[string]string) *served {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return &served{URL: set["BASE_URL"], client: client}
}

// terminate sends SIGTERM, and fails the test unless the program ends well.
func (p program) terminate(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

func TestProgramLeavesNoTokenAlive(t *testing.T) {
	looker := lookertest.New(t)
	setEnv(t, looker)
	keys, err := json.Marshal(testKeys)
	if err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, "-keys", write(t, string(keys)))
	s := p.served(p.exported(t))
	token := s.login(t, testKeys[0])
	s.want(t, s.loginUser(t, token, "790"), 200, "790")
	if alive := len(looker.Alive()); alive != 3 {
		t.Errorf("tokens of %d identities are alive, want 3", alive)
	}
	p.terminate(t)
	if alive := looker.Alive(); len(alive) != 0 {
		t.Errorf("tokens are left alive: %v", alive)
	}
}

func TestProgramWithoutKeysServesAFakeLooker(t *testing.T) {
	p := startProgram(t)
	set := p.exported(t)
	s := p.served(set)
	token := s.login(t, key{ClientID: set["CLIENT_ID"], ClientSecret: set["CLIENT_SECRET"]})
	s.want(t, token, 200, "789")
	s.want(t, s.loginUser(t, token, "790"), 200, "790")
	p.terminate(t)
}

func TestProgramLeavesNoGoroutine(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	if err := run(ended, "127.0.0.1:0", ""); err != nil { // and TestMain looks
		t.Error(err)
	}
}

func TestProgramListensOnLoopbackAlone(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "looker.example:0"} {
		err := run(t.Context(), addr, "")
		if err == nil || !strings.Contains(err.Error(), "not on loopback") {
			t.Errorf("-listen %s: %v", addr, err)
		}
	}
}

func TestProgramSaysWhatIsWrongWithItsSettings(t *testing.T) {
	setEnv(t, lookertest.New(t))
	for want, file := range map[string]string{
		"keys.json: no such file": filepath.Join(t.TempDir(), "keys.json"),
		"unexpected end":          write(t, "["),
	} {
		err := run(t.Context(), "127.0.0.1:0", file)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q in it", err, want)
		}
	}
	t.Setenv("LOOKERSDK_BASE_URL", "")
	err := run(t.Context(), "127.0.0.1:0", write(t, "[]"))
	if err == nil || !strings.Contains(err.Error(), "LOOKERSDK_BASE_URL is not set") {
		t.Error(err)
	}
}
