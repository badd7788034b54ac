package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// user is somebody who has nothing but the go command, a proxy and a folder.
type user struct {
	dir string
	env []string
}

// newUser has what this machine's own module cache holds served from there, as its folder of
// downloads is a proxy, too.
func newUser(dir string) (user, error) {
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		return user{}, fmt.Errorf("go env: %w", err)
	}
	here, world, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	u := user{dir: dir}
	proxies := []string{
		fileURL(u.proxy()), fileURL(filepath.Join(here, "cache", "download")), world,
	}
	u.env = append(os.Environ(),
		"GOFLAGS=-mod=mod",
		"GOMODCACHE="+filepath.Join(dir, "modules"), // no other build is to find what is packed
		"GONOSUMDB="+root,
		"GOPROXY="+strings.Join(proxies, ","),
		"GOTOOLCHAIN=local",
		"GOWORK=off")
	return u, nil
}

func fileURL(path string) string {
	return "file:///" + strings.TrimPrefix(filepath.ToSlash(path), "/")
}

func (u user) proxy() string { return filepath.Join(u.dir, "proxy") }

// remove removes everything. What is in a module cache is read-only for all but the go command.
func (u user) remove() {
	if err := u.run(u.dir, "local", "clean -modcache"); err != nil {
		fmt.Fprintln(os.Stderr, "downstream:", err)
	}
	if err := os.RemoveAll(u.dir); err != nil {
		fmt.Fprintln(os.Stderr, "downstream:", err)
	}
}

// use is what a user does with a module. Who imports it has the oldest Go that it promises to work
// with.
func (u user) use(m module, version string) error {
	dir, err := os.MkdirTemp(u.dir, "user")
	if err != nil {
		return err
	}
	get := "get " + m.path + "@" + version
	program, ok := programs[m.path]
	if _, err := os.Stat(filepath.Join(m.dir, "api.txt")); !ok && err == nil {
		return errors.New("it exports something: add a program that imports it")
	}
	if !ok {
		return u.run(dir, "local", "mod init user.example/program", get)
	}
	err = os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o666)
	if err != nil {
		return err
	}
	build := "build -o " + os.DevNull + " ."
	steps := []string{"mod init user.example/program", get, build, "vet ."}
	if m.path == root {
		steps = append(steps, "vet "+root+"/...", "test "+root+"/...")
	}
	return u.run(dir, "go"+m.goVersion, steps...)
}

// run runs the go command of a toolchain with each of these lines of arguments.
func (u user) run(dir, toolchain string, lines ...string) error {
	command, err := goCommand(toolchain)
	if err != nil {
		return err
	}
	for _, line := range lines {
		fmt.Printf("\n$ GOTOOLCHAIN=%s go %s\n", toolchain, line)
		run := exec.Command(command, strings.Fields(line)...)
		run.Dir, run.Stdout, run.Stderr, run.Env = dir, os.Stdout, os.Stderr, u.env
		if err := run.Run(); err != nil {
			return fmt.Errorf("go %s: %w", line, err)
		}
	}
	return nil
}

// goCommand returns the path of a toolchain's go command. The toolchain comes from the module cache
// of this machine, so that it is downloaded once.
func goCommand(toolchain string) (string, error) {
	env := exec.Command("go", "env", "GOROOT")
	env.Dir = os.TempDir() // no go.mod is to ask for another one
	env.Env = append(os.Environ(), "GOTOOLCHAIN="+toolchain)
	env.Stderr = os.Stderr
	out, err := env.Output()
	if err != nil {
		return "", fmt.Errorf("toolchain %s: %w", toolchain, err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "bin", "go"), nil
}
