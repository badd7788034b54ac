package lookerauth_test

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

func TestReadmeIsShort(t *testing.T) {
	const most = 200
	if n := strings.Count(readRepository(t).documents["README.md"], "\n"); n > most {
		t.Errorf("README.md has %d lines, at most %d are wanted: docs has room", n, most)
	}
}

var snippet = regexp.MustCompile("(?ms)^```go\n(.*?)^```")

func TestDocsSnippetsAreInATest(t *testing.T) {
	r := readRepository(t)
	var code strings.Builder
	for _, test := range r.tests {
		code.WriteString(tokens(test))
	}
	r.check(t, snippet, 15, func(_, source string) bool {
		return strings.Contains(code.String(), tokens(source))
	})
}

var testName = regexp.MustCompile("`((?:Test|Benchmark|Fuzz|Example)\\w*)`")

func TestDocsNameTestsThatExist(t *testing.T) {
	r := readRepository(t)
	r.check(t, testName, 50, func(_, name string) bool {
		for _, test := range r.tests {
			if strings.Contains(test, "\nfunc "+name+"(") {
				return true
			}
		}
		return false
	})
}

var relativeLink = regexp.MustCompile(`\]\(([\w./#-]+)\)`)

func TestDocsLinksLeadSomewhere(t *testing.T) {
	r := readRepository(t)
	r.check(t, relativeLink, 20, func(document, target string) bool {
		file, fragment, _ := strings.Cut(target, "#")
		path := filepath.Join(filepath.Dir(document), file)
		if file == "" {
			path = document
		}
		if _, err := os.Stat(path); err != nil {
			return false
		}
		heading := "# " + strings.ReplaceAll(fragment, "-", " ") + "\n"
		return fragment == "" || strings.Contains(strings.ToLower(r.documents[path]), heading)
	})
}

var (
	exported    = regexp.MustCompile(`(?m)^pkg (\w+), (type|func|const) (\w+)(.*)$`)
	examples    = regexp.MustCompile(`(?s)^package (\w+)_test\n(.*)`)
	exampleName = regexp.MustCompile(`func Example(\w+)\(`)
)

// An example shows a type if it is called after it, or names it, what returns it, or one of its
// constants.
func TestEveryExportedTypeIsInAnExample(t *testing.T) {
	r := readRepository(t)
	shown := make(map[string]bool) // "pkg.Name"
	for path, test := range r.tests {
		example := examples.FindStringSubmatch(test)
		if !strings.HasPrefix(filepath.Base(path), "example_") || example == nil {
			continue
		}
		pkg, code := example[1], tokens(example[2])
		for _, name := range exampleName.FindAllStringSubmatch(example[2], -1) {
			for part := range strings.SplitSeq(name[1], "_") {
				shown[pkg+"."+part] = true
			}
		}
		for _, use := range regexp.MustCompile(pkg+` \. (\w+)`).FindAllStringSubmatch(code, -1) {
			shown[pkg+"."+use[1]] = true
		}
	}
	lines := exported.FindAllStringSubmatch(r.exported, -1)
	for _, line := range lines {
		pkg, name, rest := line[1], line[3], line[4]
		if line[2] != "type" && shown[pkg+"."+name] {
			for _, word := range strings.FieldsFunc(rest, isNoLetter) {
				shown[pkg+"."+word] = true
			}
		}
	}
	for _, line := range lines {
		if name := line[1] + "." + line[3]; line[2] == "type" && !shown[name] {
			t.Errorf("no example shows %s: %s", name, line[0])
			shown[name] = true
		}
	}
}

func isNoLetter(r rune) bool { return !unicode.IsLetter(r) }

// repository is the text that these tests compare, by the files' paths.
type repository struct {
	documents, tests map[string]string // the Markdown; the files of tests
	exported         string            // what each api.txt has
	whole            bool              // the modules in sub-folders are here
}

func readRepository(t *testing.T) repository {
	t.Helper()
	r := repository{documents: make(map[string]string), tests: make(map[string]string)}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != "." && strings.HasPrefix(path, ".") ||
				entry.Name() == "testdata" || entry.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.Name() == "go.mod" && path != "go.mod" {
			r.whole = true
		}
		texts := r.documents
		if entry.Name() == "api.txt" {
			text, err := os.ReadFile(path)
			r.exported += string(text)
			return err
		}
		if strings.HasSuffix(path, "_test.go") {
			texts = r.tests
		} else if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		texts[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check asks ok about everything that pattern finds in the documents, which must be so many things
// or more. What is not ok fails the test, unless it may be in a module that is not here: one who
// downloads the root module does not get those in its sub-folders.
func (r repository) check(
	t *testing.T, pattern *regexp.Regexp, atLeast int, ok func(document, found string) bool,
) {
	t.Helper()
	n := 0
	for document, text := range r.documents {
		for _, match := range pattern.FindAllStringSubmatch(text, -1) {
			n++
			if ok(document, match[1]) {
				continue
			}
			if !r.whole {
				t.Skipf("%s: not found, nor are the modules in sub-folders: %s", document, match[1])
			}
			t.Errorf("%s: not found: %s", document, match[1])
		}
	}
	if n < atLeast && r.whole {
		t.Errorf("the documents have %d of what is looked for, want at least %d", n, atLeast)
	}
}

// tokens is Go code without its comments and line breaks.
func tokens(code string) string {
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(code)), []byte(code), nil, 0)
	var all strings.Builder
	for {
		_, tok, text := s.Scan()
		switch {
		case tok == token.EOF:
			return strings.ReplaceAll(" "+all.String(), " , ) ", " ) ")
		case tok == token.SEMICOLON:
			text = ";"
		case text == "":
			text = tok.String()
		}
		all.WriteString(text + " ")
	}
}
