// Command table makes README.md's table of one run of the benchmarks. It reads the output of
// go test -bench from files or from its standard input, and prints the table, with a dash for what
// was not measured. From the directory bench:
//
//	go run ./table run.txt
//	go run ./table -readme README.md run.txt
//
// With -readme it also puts the table into that file, between two comments:
//
//	<!-- bench -->
//	<!-- /bench -->
//
// For that, the run must have measured all that is in the table.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
)

func main() {
	log.SetFlags(0)
	readme := flag.String("readme", "", "put the table into this `file`, too, such as README.md")
	flag.Parse()
	if err := run(os.Stdout, *readme, flag.Args()); err != nil {
		log.Fatal("table: ", err)
	}
}

func run(w io.Writer, readme string, paths []string) error {
	r, err := read(paths)
	if err != nil {
		return err
	}
	table, err := r.markdown()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, table); err != nil || readme == "" {
		return err
	}
	if err := r.complete(); err != nil {
		return fmt.Errorf("%s is left as it is: %w", readme, err)
	}
	return insert(readme, table)
}

const (
	begin = "<!-- bench -->\n"
	end   = "<!-- /bench -->"
)

// insert replaces what is between the two comments in the file.
func insert(path, table string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		return fmt.Errorf("%s: the lines %q and %q are not there",
			path, strings.TrimSpace(begin), end)
	}
	return os.WriteFile(path, []byte(before+begin+table+end+after), 0o644)
}
