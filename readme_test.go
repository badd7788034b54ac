package lookerauth_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

func TestReadmeSnippetsAreInTheExamples(t *testing.T) {
	var examples string
	for _, pattern := range []string{"example_test.go", "integration/*_test.go", "lookerotel/example_test.go", "redisstore/traffic_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			examples += unindented(t, file)
		}
	}
	blocks := goBlock.FindAllStringSubmatch(unindented(t, "README.md"), -1)
	if len(blocks) < 15 {
		t.Fatalf("found %d snippets in the README", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(examples, block[1]) {
			t.Errorf("in no example or test that runs it:\n%s", block[1])
		}
	}
}

var testName = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")

func TestReadmeNamesTestsThatExist(t *testing.T) {
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "integration/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			tests.WriteString(unindented(t, file))
		}
	}
	names := testName.FindAllStringSubmatch(unindented(t, "README.md"), -1)
	if len(names) < 20 {
		t.Fatalf("found %d tests in the README", len(names))
	}
	for _, name := range names {
		if !strings.Contains(tests.String(), "func "+name[1]+"(") {
			t.Errorf("there is no %s", name[1])
		}
	}
}

// unindented is a file without white space at the start of its lines.
func unindented(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(string(text), "")
}
