package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const cannedRun = "testdata/run.txt"

func TestTableOfARun(t *testing.T) {
	var table strings.Builder
	if err := run(&table, "", []string{cannedRun}); err != nil {
		t.Fatal(err)
	}
	if want := readFile(t, "testdata/table.md"); table.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", table.String(), want)
	}
}

func TestTableReplacesWhatIsBetweenTheComments(t *testing.T) {
	readme := writeFile(t, "above\n<!-- bench -->\nan old table\n<!-- /bench -->\nbelow\n")
	for range 2 {
		if err := run(new(strings.Builder), readme, []string{cannedRun}); err != nil {
			t.Fatal(err)
		}
	}
	want := "above\n<!-- bench -->\n" + readFile(t, "testdata/table.md") + "<!-- /bench -->\nbelow\n"
	if text := readFile(t, readme); text != want {
		t.Errorf("the file is\n%s\nwant\n%s", text, want)
	}
}

func TestFileWithoutTheCommentsIsLeftAlone(t *testing.T) {
	for _, text := range []string{"", "<!-- bench -->\n", "<!-- /bench -->\n<!-- bench -->\n"} {
		readme := writeFile(t, text)
		if err := run(new(strings.Builder), readme, []string{cannedRun}); err == nil {
			t.Errorf("no error for the file %q", text)
		}
		if now := readFile(t, readme); now != text {
			t.Errorf("the file was %q, is %q", text, now)
		}
	}
}

func TestRunThatIsNotWholeIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":          "PASS\n",
		"not a result":   "BenchmarkToken/clock 1 x ns/op\n",
		"cut short":      "BenchmarkToken/lookerauth 1 2 ns/op\nBenchmarkToken/lookerauth 1 2 ns/op\nBenchmarkToken/clock 1 2 ns/op\n",
		"a missing file": "",
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, text)
			if text == "" {
				path += ".missing"
			}
			if err := run(new(strings.Builder), "", []string{path}); err == nil {
				t.Error("no error")
			}
		})
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

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
