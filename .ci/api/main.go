// Command api compares the exported API of each module with the api.txt in the module's folder, so
// that every change of it is a decision. It prints what differs and fails if anything does; with -w
// it writes the files instead. Run it at the root of the repository:
//
//	go run ./.ci/api [-w]
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/importer"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	write := flag.Bool("w", false, "write the files api.txt")
	flag.Parse()
	same, err := run(*write)
	if err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
	}
	if !same || err != nil {
		os.Exit(1)
	}
}

// run says whether the files of all modules are as they should be, which they are once written.
func run(write bool) (same bool, err error) {
	modules, err := findModules()
	if err != nil {
		return false, err
	}
	same = true
	for _, module := range modules {
		lines, err := moduleAPI(module)
		if err != nil {
			return false, fmt.Errorf("module %s: %w", module, err)
		}
		file := filepath.Join(module, "api.txt")
		if write {
			if err := writeLines(file, lines); err != nil {
				return false, err
			}
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if before := slices.Collect(strings.Lines(string(text))); !slices.Equal(before, lines) {
			fmt.Printf("%s is not the exported API; go run ./.ci/api -w makes it so:\n%s",
				file, strings.Join(compare(before, lines), ""))
			same = false
		}
	}
	return same, nil
}

// findModules returns the folders that have a go.mod.
func findModules() (modules []string, err error) {
	err = filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := path != "." && strings.HasPrefix(entry.Name(), ".")
		if entry.IsDir() && (hidden || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if entry.Name() == "go.mod" {
			modules = append(modules, filepath.Dir(path))
		}
		return nil
	})
	return modules, err
}

// moduleAPI returns the sorted API of those packages in a module that others can import.
func moduleAPI(module string) ([]string, error) {
	list := exec.Command("go", "list", "-export", "-deps", "-json", "./...")
	list.Dir, list.Stderr = module, os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	exports := make(map[string]string) // of all packages, as the go command has compiled them
	var public []string
	for packages := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Name, Export string
			DepOnly                  bool
		}
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		exports[p.ImportPath] = p.Export
		internal := slices.Contains(strings.Split(p.ImportPath, "/"), "internal")
		if !p.DepOnly && !internal && p.Name != "main" {
			public = append(public, p.ImportPath)
		}
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	imports := importer.ForCompiler(token.NewFileSet(), "gc", open)
	var lines []string
	for _, path := range public {
		pkg, err := imports.Import(path)
		if err != nil {
			return nil, err
		}
		lines = append(lines, packageAPI(pkg)...)
	}
	slices.Sort(lines)
	return lines, nil
}

// compare returns, sorted, the lines that only one of the two has.
func compare(before, now []string) (diff []string) {
	for _, line := range before {
		if !slices.Contains(now, line) {
			diff = append(diff, "-"+line)
		}
	}
	for _, line := range now {
		if !slices.Contains(before, line) {
			diff = append(diff, "+"+line)
		}
	}
	slices.SortFunc(diff, func(a, b string) int { return strings.Compare(a[1:], b[1:]) })
	return diff
}

// writeLines writes the file; where there is nothing to write there is to be no file.
func writeLines(file string, lines []string) error {
	if len(lines) > 0 {
		return os.WriteFile(file, []byte(strings.Join(lines, "")), 0o666)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
