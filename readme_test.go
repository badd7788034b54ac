package lookerauth_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

func TestReadmeSnippetsAreInTheExamples(t *testing.T) {
	examples := unindented(t, "example_test.go")
	blocks := goBlock.FindAllStringSubmatch(unindented(t, "README.md"), -1)
	if len(blocks) < 5 {
		t.Fatalf("found %d snippets in the README", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(examples, block[1]) {
			t.Errorf("not in example_test.go:\n%s", block[1])
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
