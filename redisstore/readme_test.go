package redisstore_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestReadmeSnippetIsInTheExample(t *testing.T) {
	example := strings.ReplaceAll(read(t, "example_test.go"), "\n\t", "\n")
	goBlock := regexp.MustCompile("(?s)```go\n(.*?)```")
	snippets := goBlock.FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(snippets) != 1 || !strings.Contains(example, snippets[0][1]) {
		t.Errorf("not in example_test.go: %q", snippets)
	}
}

func TestReadmeNamesTestsThatExist(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, file := range append(files, "examples/fleet/main_test.go") {
		tests.WriteString(read(t, file))
	}
	testName := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	names := testName.FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(names) < 15 {
		t.Errorf("found %d tests in the README", len(names))
	}
	for _, name := range names {
		if !strings.Contains(tests.String(), "\nfunc "+name[1]+"(") {
			t.Errorf("there is no %s", name[1])
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
