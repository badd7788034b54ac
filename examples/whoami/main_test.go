package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// setEnv leads the program to the Looker of cfg; to none if cfg is empty.
func setEnv(t *testing.T, cfg lookerauth.Config) {
	t.Helper()
	t.Setenv("LOOKERSDK_BASE_URL", cfg.BaseURL)
	t.Setenv("LOOKERSDK_CLIENT_ID", cfg.ClientID)
	t.Setenv("LOOKERSDK_CLIENT_SECRET", cfg.ClientSecret)
	t.Setenv("LOOKERSDK_API_VERSION", cfg.APIVersion)
	t.Setenv("LOOKERSDK_VERIFY_SSL", "")
	t.Setenv("LOOKERSDK_TIMEOUT", "")
}

func TestWhoAmI(t *testing.T) {
	for _, version := range []string{"", "3.1", "4.0"} {
		t.Run("version "+version, func(t *testing.T) {
			fake := lookertest.New(t, lookertest.WithAPIVersions("3.1", "4.0"))
			cfg := fake.Config()
			cfg.APIVersion = version
			cfg.BaseURL += "/"
			setEnv(t, cfg)

			var out strings.Builder
			args := []string{"-user", "7", "-user", "8"}
			if err := run(t.Context(), args, &out, io.Discard); err != nil {
				t.Fatal(err)
			}
			want := `service account  acts as user 1, "Service account"
user 7           acts as user 7, "User 7"
user 8           acts as user 8, "User 8"
`
			if out.String() != want {
				t.Errorf("printed:\n%s\nwant:\n%s", out.String(), want)
			}
			if alive := fake.Alive(); len(alive) != 0 {
				t.Errorf("tokens are left alive: %v", alive)
			}
		})
	}
}

func TestFake(t *testing.T) {
	setEnv(t, lookerauth.Config{})
	var out strings.Builder
	if err := run(t.Context(), nil, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	notice, table, _ := strings.Cut(out.String(), "\n\n")
	for _, want := range []string{
		"asking a fake Looker", "acts as user 1,", "acts as user 789,", "acts as user 790,",
	} {
		if !strings.Contains(notice, want) {
			t.Errorf("%q is missing in:\n%s", want, notice)
		}
	}
	checkTable(t, table, "requests 1000", "failures 0", "login calls 1", "login_user calls 202",
		"calls saved 1797", "median request", "slowest request")
}

// checkTable checks that the rows start like this, however wide the columns are.
func checkTable(t *testing.T, table string, rows ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != len(rows) {
		t.Fatalf("%d rows, want %d:\n%s", len(lines), len(rows), table)
	}
	for i, line := range lines {
		row := strings.Join(strings.Fields(line), " ") + " "
		if !strings.HasPrefix(row, rows[i]+" ") {
			t.Errorf("row %q, want %q", row, rows[i])
		}
	}
}

// unreachable is in the error if there was no answer.
const unreachable = "check that the base URL is right and reachable"

func TestFailures(t *testing.T) {
	fake := lookertest.New(t)
	fake.SetUsers(lookertest.User{ID: "7"})
	good := fake.Config()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!doctype html>\n<title>Log in</title>\n")
	}))
	defer web.Close()
	withSecret := func(secret string) lookerauth.Config {
		cfg := good
		cfg.ClientSecret = secret
		return cfg
	}
	withURL := func(url string) lookerauth.Config {
		cfg := good
		cfg.BaseURL = url
		return cfg
	}
	onlySecret := lookerauth.Config{ClientSecret: good.ClientSecret}
	badTwice := withURL("demo")
	badTwice.APIVersion = "9"
	tests := []struct {
		name   string
		config lookerauth.Config
		args   []string
		want   []string
	}{
		{"wrong secret", withSecret("wrong-secret"), nil,
			[]string{"check the client id and the client secret"}},
		{"unreachable host", withURL(closedPort(t)), nil,
			[]string{unreachable, "dial tcp"}},
		{"web port", withURL(web.URL), nil,
			[]string{"check the base URL", "19999"}},
		{"unknown user", good, []string{"-user", "7", "-user", "8"},
			[]string{"login_user 8", "User takes the id that Looker gave the user"}},
		{"invalid user", good, []string{"-user", ""}, []string{"an id that Looker gave has"}},
		{"one variable missing", withSecret(""), nil,
			[]string{"LOOKERSDK_CLIENT_SECRET is not set"}},
		{"two variables missing", onlySecret, nil,
			[]string{"LOOKERSDK_BASE_URL is not set", "LOOKERSDK_CLIENT_ID is not set"}},
		{"bad version and URL", badTwice, nil,
			[]string{"write it as https://host", "use 4.0, 3.1 or 3.0"}},
		{"unknown flag", good, []string{"-users", "7"}, []string{"see -h"}},
		{"argument", good, []string{"7"}, []string{"name each user with -user ID"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			setEnv(t, tt.config)
			err := run(t.Context(), tt.args, io.Discard, io.Discard)
			checkError(t, err, tt.config, tt.want...)
		})
	}
}

// What Looker answers after a login that went well.
func TestFailuresOfRequests(t *testing.T) {
	const request, logout = lookertest.OpAPI, lookertest.OpLogout
	tests := []struct {
		name  string
		op    lookertest.Op
		fault lookertest.Fault
		want  string
	}{
		{"refused", request, lookertest.Fault{Status: 403}, "answered 403 Forbidden: check"},
		{"dropped", request, lookertest.Fault{Drop: true}, unreachable},
		{"HTML", request, lookertest.Fault{Body: "<html>\n"}, "check the base URL"},
		{"nobody", request, lookertest.Fault{Body: "{}"}, "check the base URL"},
		{"logout", logout, lookertest.Fault{Status: 403}, "tokens may live until they expire"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fake := lookertest.New(t)
			fake.FailFunc(func(call lookertest.Request) lookertest.Fault {
				if call.Op == tt.op {
					return tt.fault
				}
				return lookertest.Fault{}
			})
			setEnv(t, fake.Config())
			checkError(t, run(t.Context(), nil, io.Discard, io.Discard), fake.Config(), tt.want)
		})
	}
}

func TestSilentHost(t *testing.T) {
	fake := lookertest.New(t)
	fake.FailFunc(func(lookertest.Request) lookertest.Fault {
		return lookertest.Fault{Delay: 1 << 40}
	})
	setEnv(t, fake.Config())
	t.Setenv("LOOKERSDK_TIMEOUT", "1")
	checkError(t, run(t.Context(), nil, io.Discard, io.Discard), fake.Config(), unreachable)
}

// A request that is answered as somebody else is a failure.
func TestMixedUpUsers(t *testing.T) {
	fake := lookertest.New(t)
	wrong := lookertest.Fault{Body: `{"id":"790"}`}
	fake.FailNext(lookertest.OpAPI, wrong, wrong, wrong)
	var out strings.Builder
	err := withLooker(t.Context(), fake.Config(), func(l looker) error {
		return showCaching(t.Context(), l, fake, &out, io.Discard)
	})
	checkError(t, err, fake.Config(), "3 of 1000 requests failed", "was answered as user 790")
	checkTable(t, out.String(), "requests 1000", "failures 3", "login calls 1",
		"login_user calls 200", "calls saved 1799", "median request", "slowest request")
}

func TestInterrupted(t *testing.T) {
	setEnv(t, lookertest.New(t).Config())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	checkError(t, run(ctx, nil, io.Discard, io.Discard), lookerauth.Config{}, "canceled")
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	err := run(t.Context(), []string{"-h"}, &out, io.Discard)
	if err != nil || !strings.Contains(out.String(), "-user ID") {
		t.Errorf("error %v, printed %q", err, out.String())
	}
}

// checkError checks that err is one line, says all of want, and holds nothing of the key.
func checkError(t *testing.T, err error, cfg lookerauth.Config, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	if strings.Contains(text, "\n") {
		t.Errorf("more than one line: %q", text)
	}
	for _, part := range want {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in: %s", part, text)
		}
	}
	for _, secret := range []string{cfg.ClientID, cfg.ClientSecret} {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("a secret is in: %s", text)
		}
	}
}

// closedPort is the URL of a port at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "http://" + listener.Addr().String()
}
