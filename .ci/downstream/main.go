// Command downstream does with the modules of this repository what their users will do, before they
// are released. It packs each one as the version that CHANGELOG.md names first, and serves them as
// a module proxy does. Then it gets each of them alone, in a module that is empty. With each that
// has a package to import it builds and vets a small program, with the oldest Go that its go.mod
// promises, and with that runs the tests of the root module as it is packed.
//
// So it fails when a module requires what nobody can get, or a test needs what is not packed:
//
//	go -C .ci/downstream run .
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("../.."); err != nil {
		fmt.Fprintln(os.Stderr, "downstream:", err)
		os.Exit(1)
	}
}

func run(repository string) error {
	modules, err := findModules(repository)
	if err != nil {
		return err
	}
	version, err := lastVersion(filepath.Join(repository, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "downstream")
	if err != nil {
		return err
	}
	u, err := newUser(dir)
	if err != nil {
		return err
	}
	defer u.remove()
	for _, m := range modules {
		if err := m.pack(u.proxy(), version); err != nil {
			return fmt.Errorf("packing %s: %w", m.path, err)
		}
	}
	for _, m := range modules {
		if err := u.use(m, version); err != nil {
			return fmt.Errorf("%s %s: %w", m.path, version, err)
		}
	}
	return nil
}
