package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProgramPrintsAndDrawsAllContestants(t *testing.T) {
	dir := t.TempDir()
	drawn := filepath.Join(dir, "capacity.svg")
	readme := filepath.Join(dir, "README.md")
	old := filepath.Join(dir, "before.json")
	const text = "before\n<!-- capacity -->\nold\n<!-- /capacity -->\nafter\n"
	if err := os.WriteFile(readme, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	args := []string{"-slots", "1", "-hours", "1.1", "-load", "2", "-o", drawn, "-readme", readme,
		"-record", old}
	if err := run(t, args, &out); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, readme); got != "before\n<!-- capacity -->\n"+out.String()+
		"<!-- /capacity -->\nafter\n" {
		t.Errorf("README.md is:\n%s", got)
	}
	if n := strings.Count(readFile(t, old), before); n != len(scenes) {
		t.Errorf("%d results recorded, want %d", n, len(scenes))
	}
	for _, text := range []string{out.String(), readFile(t, drawn)} {
		checkNames(t, text)
		for _, s := range scenes {
			if !strings.Contains(text, s.name) {
				t.Errorf("%s is missing", s.name)
			}
		}
	}
	if n := strings.Count(out.String(), "| 2 % "); n != len(scenes)*(len(contestants)+1) {
		t.Errorf("%d rows, want one for each contestant in each scene:\n%s", n, out.String())
	}
}

func TestNoFileIsWrittenIfNoneIsNamed(t *testing.T) {
	dir := t.TempDir()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chdir(dir); err != nil { // t.Chdir is not for tests with parallel parts
		t.Fatal(err)
	}
	defer func() {
		if err := os.Chdir(wd); err != nil {
			t.Error(err)
		}
	}()
	var out strings.Builder
	args := []string{"-slots", "1", "-hours", "0.2", "-load", "1", "-scene", "slower"}
	if err := run(t, args, &out); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("left %v, error %v", files, err)
	}
	if strings.Contains(out.String(), "steady") || !strings.Contains(out.String(), "slower") {
		t.Errorf("the only scene is to be slower:\n%s", out.String())
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"-slots 0", "-slots"},
		{"-hours 1", "-hours"},
		{"-hours 0.1 -scene slower", "-hours"},
		{"-deadline 0s", "-deadline"},
		{"-load 0", "-load"},
		{"-load 201", "-load"},
		{"-load 10,x", "-load"},
		{"-scene other", "-scene"},
		{"argument", "argument"},
	} {
		err := run(t, strings.Fields(test.args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that names %s", test.args, err, test.want)
		}
	}
	if err := run(t, []string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

func TestLoadsAreInAscendingOrder(t *testing.T) {
	o, err := parse([]string{"-load", "95, 10,10,80"}, io.Discard)
	if err != nil || len(o.loads) != 3 || o.loads[0] != 10 || o.loads[1] != 80 || o.loads[2] != 95 {
		t.Errorf("%v, error %v", o.loads, err)
	}
}

// checkNames checks that the text names every contestant, and what stands beside them.
func checkNames(t *testing.T, text string) {
	t.Helper()
	names := []string{before}
	for _, c := range contestants {
		names = append(names, c.name)
	}
	for _, name := range names {
		if !strings.Contains(text, name) {
			t.Errorf("%s is missing", name)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
