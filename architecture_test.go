package lookerauth_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// floors are the files of the root package, from top to bottom. A file uses only what stands below
// it. CONTRIBUTING.md has the same list, with the same words.
var floors = []struct{ file, job string }{
	{"doc.go", "the package on one screen"},
	{"transport.go", "a request gets its identity's token; what becomes of a 401: the replay"},
	{"tokensource.go", "the handle of one identity: its token, `Export`, `Invalidate`, `Logout`"},
	{"cache.go", "`Cache`: `New` wires everything; hit or miss; `Stats`, `Health`, `Close`"},
	{"env.go", "`Config` from the environment, and what of it counts"},
	{"validate.go", "what of a `Config` `New` cannot work with, and what to do about that"},
	{"config.go", "what the user sets, and its defaults"},
	{"close.go", "the end of all tokens: `Close`, after what is under way; `LogoutAll`"},
	{"left.go", "the error of a caller who leaves a login before its end"},
	{"lifecycle.go", "a token from login to logout: replaced, rejected, evicted, discarded"},
	{"fleet.go", "a login shared through the Store: decorates `login.go`"},
	{"names.go", "under which name an identity's record is in the Store"},
	{"login.go", "a new token: the service account's, or a user's; `AfterLogin`; ending one"},
	{"user.go", "a user's token from Looker: looked up, logged in, as the service account"},
	{"usertoken.go", "a user's token from `Config.UserToken`, and what of it is believed"},
	{"call.go", "a call of Looker's: its turn, tries and time; what its failure means to us"},
	{"lease.go", "whose it is to log in, of all processes; the record of an identity in the Store"},
	{"store.go", "the `Store` contract; calling one: bounded, left alone while it fails"},
	{"singleflight.go", "one job at a time for each key; callers that leave; discard, close"},
	{"steps.go", "what a group of `singleflight.go` leaves to who knows what its jobs are"},
	{"request.go", "a request with a token: sent only where it may go, and as nobody else"},
	{"events.go", "everything that is counted and logged, each written once"},
	{"health.go", "why logins fail, for whom, since when, and whether that is over; `Health`"},
	{"stats.go", "every count; `Stats`"},
	{"logger.go", "writing to the user's `Logger`, when callers have their result"},
	{"callerror.go", "`CallError`: which call failed, and how long its identity is held down"},
	{"errors.go", "the errors that callers see, and their sentences"},
	{"secret.go", "how a value that holds a secret prints and encodes"},
	{"identity.go", "who, whether that can be one, and whom a context names"},
	{"version.go", "which version of the library this is"},
	{"clock.go", "the time"},
}

// packages are those of this module, from top to bottom, with what they may import of it. All that
// stand in internal/ know nothing of the root.
var packages = []struct {
	dir, job string
	imports  []string
}{
	{"examples/whoami", "the main job as a program", []string{".", "lookertest"}},
	{"storetest", "the rules of a `Store`, as tests", []string{"."}},
	{"lookertest", "a fake Looker, for users' tests and the library's own", []string{"."}},
	{".", "the library", []string{
		"internal/body", "internal/digest", "internal/guard", "internal/looker", "internal/origin",
		"internal/queue", "internal/seal", "internal/token",
	}},
	{"internal/looker",
		"one call on the wire each; answers to tokens and errors; secrets scrubbed",
		[]string{"internal/token"}},
	{"internal/token", "one token, its times; the LRU, and every change of a token's state", nil},
	{"internal/queue", "whose turn it is: slots, pauses; holding down who has failed", nil},
	{"internal/digest", "the first one told of at once, others by their number now and then", nil},
	{"internal/body", "bodies that are sent twice, or read ahead: waited for, closed", nil},
	{"internal/origin", "whether a request stays where tokens may go", nil},
	{"internal/seal", "encryption of stored values, bound to their name; several keys", nil},
	{"internal/guard", "running code of the user's: bounded, recovered, in the background", nil},
}

const (
	modulePath   = "github.com/lookerauth/lookerauth"
	maxLines     = 300 // of a file
	maxTestLines = 500 // of a test's file
)

func TestFilesUseOnlyWhatStandsBelow(t *testing.T) {
	uses := usesUpward(t)
	for _, use := range uses {
		t.Error(use)
	}
	if len(uses) > 0 {
		t.Log("a file uses only what stands below it: see CONTRIBUTING.md")
	}
}

// usesUpward type-checks the root package, and returns each use of a name by a file that stands
// below the one which declares it.
func usesUpward(t *testing.T) []string {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range goFiles(t, ".") {
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "_test.go") {
			files = append(files, file)
		}
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", exports(t))}
	pkg, err := config.Check(modulePath, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	var uses []string
	for ident, object := range info.Uses {
		if object.Pkg() != pkg {
			continue
		}
		user, declared := fset.Position(ident.Pos()), fset.Position(object.Pos())
		if floorOf(t, declared.Filename) < floorOf(t, user.Filename) {
			use := fmt.Sprintf("%v uses %s of %s", user, ident.Name, declared.Filename)
			uses = append(uses, use)
		}
	}
	slices.Sort(uses)
	return uses
}

// exports returns a look-up of what the packages that the root imports export, as the go command
// has compiled them.
func exports(t *testing.T) func(path string) (io.ReadCloser, error) {
	const format = "{{.ImportPath}}\t{{.Export}}"
	list := exec.Command("go", "list", "-export", "-deps", "-f", format, ".")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("the go command is needed: %v", err)
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		importPath, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		files[importPath] = file
	}
	return func(importPath string) (io.ReadCloser, error) { return os.Open(files[importPath]) }
}

// floorOf is where the file stands, counted from the top.
func floorOf(t *testing.T, file string) int {
	for i, floor := range floors {
		if floor.file == file {
			return i
		}
	}
	t.Fatalf("%s is not in the list of files", file)
	return 0
}

func TestEveryFileIsListed(t *testing.T) {
	for _, name := range goFiles(t, ".") {
		if !strings.HasSuffix(name, "_test.go") {
			floorOf(t, name)
		}
	}
	for _, floor := range floors {
		if _, err := os.Stat(floor.file); err != nil {
			t.Error(err)
		}
	}
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	may := make(map[string][]string)
	for _, p := range packages {
		may[p.dir] = p.imports
	}
	for _, dir := range folders(t) {
		imports, listed := may[dir]
		if !listed {
			t.Errorf("package %s is not in the list of packages", dir)
		}
		for _, name := range goFiles(t, dir) {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, imported := range importsOf(t, path.Join(dir, name)) {
				if !slices.Contains(imports, imported) {
					t.Errorf("%s imports %s", path.Join(dir, name), imported)
				}
			}
		}
		delete(may, dir)
	}
	for dir := range may {
		t.Errorf("package %s is in the list, but there is none", dir)
	}
}

// importsOf returns the packages of this module that the file imports.
func importsOf(t *testing.T, file string) []string {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, spec := range parsed.Imports {
		imported := strings.Trim(spec.Path.Value, `"`)
		if imported == modulePath {
			ours = append(ours, ".")
		} else if dir, ok := strings.CutPrefix(imported, modulePath+"/"); ok {
			ours = append(ours, dir)
		}
	}
	return ours
}

func TestFilesAreShort(t *testing.T) {
	for _, dir := range folders(t) {
		for _, name := range goFiles(t, dir) {
			file, limit := path.Join(dir, name), maxLines
			if strings.HasSuffix(name, "_test.go") {
				limit = maxTestLines
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), "\n"); n > limit {
				t.Errorf("%s has %d lines, more than %d", file, n, limit)
			}
		}
	}
}

var tableRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.*?) \\|(.*)$")

func TestContributingHasTheSameOrder(t *testing.T) {
	text, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, row := range tableRow.FindAllStringSubmatch(string(text), -1) {
		got = append(got, strings.TrimSpace(row[1]+": "+row[2]+row[3]))
	}
	for _, floor := range floors {
		want = append(want, floor.file+": "+floor.job)
	}
	for _, p := range packages {
		if p.dir != "." {
			want = append(want, strings.TrimSpace(p.dir+"/: "+p.job+importColumn(p.imports)))
		}
	}
	if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("CONTRIBUTING.md has\n\t%s\nthe lists here have\n\t%s",
			strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// importColumn is how CONTRIBUTING.md writes what a package may import.
func importColumn(imports []string) string {
	var names []string
	for _, imported := range imports {
		if imported == "." {
			names = append(names, "the root")
			continue
		}
		names = append(names, "`"+path.Base(imported)+"`")
	}
	return " " + strings.TrimSpace(strings.Join(names, ", ")+" |")
}

// goFiles returns the names of the Go files in a folder.
func goFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no Go files in %s: %v", dir, cmp.Or(err, fs.ErrNotExist))
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return files
}

// folders returns the folders of this module that have Go files, with forward slashes.
func folders(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil ||
				entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") {
				return filepath.SkipDir
			}
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		if strings.HasSuffix(name, ".go") && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}
