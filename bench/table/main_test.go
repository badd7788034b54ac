package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	whole := writeFile(t, wholeRun(""))
	var table strings.Builder
	for range 2 {
		table.Reset()
		if err := run(&table, readme, []string{whole}); err != nil {
			t.Fatal(err)
		}
	}
	want := "above\n<!-- bench -->\n" + table.String() + "<!-- /bench -->\nbelow\n"
	if text := readFile(t, readme); text != want {
		t.Errorf("the file is\n%s\nwant\n%s", text, want)
	}
}

func TestReadmeKeepsItsTableIfARowWasNotMeasured(t *testing.T) {
	const text = "<!-- bench -->\na whole table\n<!-- /bench -->\n"
	for _, row := range rows {
		readme := writeFile(t, text)
		partial := writeFile(t, wholeRun(row.over[0]))
		err := run(new(strings.Builder), readme, []string{partial})
		if err == nil || !strings.Contains(err.Error(), "not measured: ") {
			t.Errorf("without %s: %v", row.over[0], err)
		}
		if now := readFile(t, readme); now != text {
			t.Errorf("without %s: the file is\n%s", row.over[0], now)
		}
	}
	readme := writeFile(t, text)
	err := run(new(strings.Builder), readme, []string{writeFile(t, wholeRun("ColdStart/sleep"))})
	if err == nil || !strings.Contains(err.Error(), "cold start: nothing but sleep / ideal") {
		t.Errorf("the row is not named: %v", err)
	}
}

// wholeRun is the output of a run on one core that measured all that is in the table but one
// benchmark.
func wholeRun(without string) string {
	var output strings.Builder
	written := map[string]bool{without: true}
	for _, row := range rows {
		for _, name := range slices.Concat(row.over, row.under) {
			if !written[name] {
				const values = "20 ns/op 300 B/user 1.1 x-ideal 0 B/op 0 allocs/op"
				fmt.Fprintf(&output, "Benchmark%s 1 %s\n", name, values)
			}
			written[name] = true
		}
	}
	return output.String()
}

func TestFileWithoutTheCommentsIsLeftAlone(t *testing.T) {
	whole := writeFile(t, wholeRun(""))
	for _, text := range []string{"", "<!-- bench -->\n", "<!-- /bench -->\n<!-- bench -->\n"} {
		readme := writeFile(t, text)
		err := run(new(strings.Builder), readme, []string{whole})
		if err == nil || !strings.Contains(err.Error(), "are not there") {
			t.Errorf("the file %q: %v", text, err)
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
		"cut short":      wholeRun("") + "BenchmarkToken/lookerauth 1 20 ns/op\n",
		"a missing file": "",
		"failed":         wholeRun("") + "FAIL\n",
		"one failed":     "--- FAIL: BenchmarkToken/aws\n" + wholeRun(""),
		"no number":      strings.Replace(wholeRun(""), "20 ns/op", "NaN ns/op", 1),
		"infinite":       strings.Replace(wholeRun(""), "20 ns/op", "+Inf ns/op", 1),
		"no time":        strings.Replace(wholeRun(""), "20 ns/op", "0 ns/op", 1),
		"less than 0":    strings.Replace(wholeRun(""), " 0 allocs/op", " -1 allocs/op", 1),
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
