package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	modules "golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// root is the path of the module that the paths of all others begin with.
const root = "github.com/lookerauth/lookerauth"

// module is one of this repository.
type module struct {
	dir       string
	path      string
	goVersion string // the oldest one that its go.mod promises
}

// findModules returns all modules that are published, the root first: not those in folders that Go
// passes over.
func findModules(repository string) (all []module, err error) {
	names, err := tracked(repository, "go.mod", "*/go.mod")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, func(a, b string) int { return len(a) - len(b) })
	for _, name := range names {
		if strings.HasPrefix(name, ".") || strings.Contains(name, "testdata/") {
			continue
		}
		path := filepath.Join(repository, filepath.FromSlash(name))
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		file, err := modfile.Parse(path, text, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, module{filepath.Dir(path), file.Module.Mod.Path, file.Go.Version})
	}
	return all, nil
}

// tracked returns the names of the files in a folder that Git has, of those that match a pattern.
func tracked(dir string, patterns ...string) ([]string, error) {
	list := exec.Command("git", append([]string{"ls-files", "-z", "--"}, patterns...)...)
	list.Dir, list.Stderr = dir, os.Stderr
	names, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	return strings.FieldsFunc(string(names), func(r rune) bool { return r == 0 }), nil
}

var release = regexp.MustCompile(`(?m)^## (\d+\.\d+\.\d+)`)

// lastVersion returns the version that the changelog names first, as a module's.
func lastVersion(changelog string) (string, error) {
	text, err := os.ReadFile(changelog)
	if err != nil {
		return "", err
	}
	heading := release.FindSubmatch(text)
	if heading == nil {
		return "", fmt.Errorf("%s names no version", changelog)
	}
	return "v" + string(heading[1]), nil
}

// pack puts the module into the folder of a proxy, as a release with this version.
func (m module) pack(proxy, version string) error {
	escaped, err := modules.EscapePath(m.path)
	if err != nil {
		return err
	}
	base := filepath.Join(proxy, filepath.FromSlash(escaped), "@v", version)
	if err := os.MkdirAll(filepath.Dir(base), 0o777); err != nil {
		return err
	}
	goMod, err := os.ReadFile(filepath.Join(m.dir, "go.mod"))
	if err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Now()})
	if err != nil {
		return err
	}
	packed, err := os.Create(base + ".zip")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(base+".info", info, 0o666),
		os.WriteFile(base+".mod", goMod, 0o666),
		m.zip(packed, version),
		packed.Close())
}

// zip writes what the go command would download: what Git has. It leaves out the modules within
// this one.
func (m module) zip(w io.Writer, version string) error {
	names, err := tracked(m.dir, ".")
	if err != nil {
		return err
	}
	var files []zip.File
	for _, name := range names {
		files = append(files, file{filepath.Join(m.dir, filepath.FromSlash(name)), name})
	}
	return zip.Create(w, modules.Version{Path: m.path, Version: version}, files)
}

// file is a zip.File.
type file struct{ path, name string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (fs.FileInfo, error)  { return os.Lstat(f.path) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.path) }
