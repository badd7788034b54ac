package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth/lookertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProgramPrintsAndDrawsAllContestants(t *testing.T) {
	file := filepath.Join(t.TempDir(), "stall.svg")
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		args := []string{"-workers", "1", "-duration", "2s", "-o", file}
		if err := run(args, &out, lookertest.InMemory()); err != nil {
			t.Fatal(err)
		}
	})

	drawn, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	checkNames(t, string(drawn))
	checkNames(t, out.String())
	const failure = "A failure of golang.org/x/oauth2: answered 401 Unauthorized"
	if !strings.Contains(out.String(), failure) {
		t.Errorf("printed:\n%s\nwant the failure that a revocation causes", out.String())
	}
}

func TestNoPictureIsDrawnWithoutAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		args := []string{"-workers", "1", "-duration", "1s", "-o", ""}
		if err := run(args, io.Discard, lookertest.InMemory()); err != nil {
			t.Fatal(err)
		}
	})
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("left %v, error %v", files, err)
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	tests := []struct{ flag, value, want string }{
		{"-duration", "0s", "-duration"},
		{"-life", "1500ms", "-life"},
		{"-life", "0s", "-life"},
		{"-login", "-1s", "-login"},
		{"-workers", "0", "-workers"},
		{"-o", "x.svg argument", "argument"},
	}
	for _, tt := range tests {
		args := append([]string{tt.flag}, strings.Fields(tt.value)...)
		err := run(args, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want one that names %s", args, err, tt.want)
		}
	}
}

func TestLatencyOfNoRequestIsNone(t *testing.T) {
	if text := showSeconds(phase{}.quantile(0.5)); text != "none" {
		t.Errorf("shown as %q", text)
	}
}

// checkNames checks that the text names every contestant.
func checkNames(t *testing.T, text string) {
	t.Helper()
	for _, c := range contestants {
		if !strings.Contains(text, c.name) {
			t.Errorf("%s is missing", c.name)
		}
	}
}
