package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
)

// results are the measurements of one run, each in the order in which it was repeated.
type results struct {
	machine  map[string]string // what the run says of the machine
	measured map[measure][]float64
}

// measure is what a benchmark reports on so many cores.
type measure struct {
	benchmark string // without the word Benchmark, and without the cores at its end
	unit      string
	cores     int
}

// read reads the output of go test -bench: the files', or the standard input's if there is none.
func read(paths []string) (*results, error) {
	r := &results{make(map[string]string), make(map[measure][]float64)}
	if len(paths) == 0 {
		if err := r.readFrom(os.Stdin, "standard input"); err != nil {
			return nil, err
		}
	}
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		err = r.readFrom(file, path)
		file.Close()
		if err != nil {
			return nil, err
		}
	}
	if len(r.measured) == 0 {
		return nil, errors.New("no benchmark in the output")
	}
	return r, nil
}

// failure is what go test prints of a test, a benchmark or a package that failed.
var failure = regexp.MustCompile(`(?m)^(--- )?FAIL\b.*`)

func (r *results) readFrom(file io.Reader, name string) error {
	output, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	if line := failure.Find(output); line != nil {
		return fmt.Errorf("%s: the run failed: %s", name, line)
	}
	records := benchfmt.NewReader(bytes.NewReader(output), name)
	for records.Scan() {
		switch record := records.Result().(type) {
		case *benchfmt.SyntaxError:
			return record
		case *benchfmt.Result:
			if err := r.add(record); err != nil {
				return err
			}
		}
	}
	return records.Err()
}

func (r *results) add(result *benchfmt.Result) error {
	for _, config := range result.Config {
		r.machine[config.Key] = strings.TrimSpace(string(config.Value))
	}
	name, cores := split(result.Name)
	for _, v := range result.Values {
		if !plausible(v) {
			return fmt.Errorf("%s was measured as %v %s", result.Name, v.Value, v.Unit)
		}
		m := measure{name, v.Unit, cores}
		r.measured[m] = append(r.measured[m], v.Value)
	}
	return nil
}

// plausible reports whether something can have this value. Only what is allocated can be nothing.
func plausible(v benchfmt.Value) bool {
	if v.Unit == "allocs/op" || v.Unit == "B/op" {
		return v.Value >= 0 && !math.IsInf(v.Value, 0)
	}
	return v.Value > 0 && !math.IsInf(v.Value, 0)
}

// split cuts the cores off a benchmark's name. go test leaves them out if there is one.
func split(full benchfmt.Name) (name string, cores int) {
	name = full.String()
	_, parts := full.Parts()
	if len(parts) == 0 {
		return name, 1
	}
	last := string(parts[len(parts)-1])
	digits, ok := strings.CutPrefix(last, "-")
	cores, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return name, 1
	}
	return strings.TrimSuffix(name, last), cores
}

// cores are the numbers of cores that something was measured on.
func (r *results) cores() []int {
	seen := make(map[int]bool)
	for m := range r.measured {
		seen[m.cores] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// summary is the median of what the row says, with its spread. The first measurement of each
// benchmark goes with the first of every other, and so on: they were made close to each other, when
// the machine was the same. ok is false if one is missing.
func (r *results) summary(row row, cores int) (s benchmath.Summary, ok bool, err error) {
	var values []float64
	for i, name := range slices.Concat(row.over, row.under) {
		samples := r.measured[measure{name, row.unit, cores}]
		if len(samples) == 0 {
			return s, false, nil
		}
		if i == 0 {
			values = slices.Repeat([]float64{1}, len(samples))
		}
		if len(samples) != len(values) {
			return s, false, fmt.Errorf("%s was measured %d times on %d cores, and %s %d times: "+
				"was the run cut short?", row.over[0], len(values), cores, name, len(samples))
		}
		for j, sample := range samples {
			if i >= len(row.over) {
				sample = 1 / sample
			}
			values[j] *= sample
		}
	}
	sample := benchmath.NewSample(values, &benchmath.DefaultThresholds)
	return benchmath.AssumeNothing.Summary(sample, 0.95), true, nil
}

// complete is an error unless each row was measured on some number of cores.
func (r *results) complete() error {
	for _, row := range rows {
		measured := false
		for _, n := range r.cores() {
			_, ok, err := r.summary(row, n)
			if err != nil {
				return err
			}
			measured = measured || ok
		}
		if !measured {
			return fmt.Errorf("not measured: %s", row.label)
		}
	}
	return nil
}
