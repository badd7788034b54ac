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

	"github.com/lookerauth/lookerauth/bench/internal/readme"
)

func main() {
	log.SetFlags(0)
	file := flag.String("readme", "", "put the table into this `file`, too, such as README.md")
	flag.Parse()
	if err := run(os.Stdout, *file, flag.Args()); err != nil {
		log.Fatal("table: ", err)
	}
}

func run(w io.Writer, file string, paths []string) error {
	r, err := read(paths)
	if err != nil {
		return err
	}
	table, err := r.markdown()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, table); err != nil || file == "" {
		return err
	}
	if err := r.complete(); err != nil {
		return fmt.Errorf("%s is left as it is: %w", file, err)
	}
	return readme.Insert(file, "bench", table)
}
