package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/perf/benchmath"
)

// markdown is the table, and below it the machine.
func (r *results) markdown() (string, error) {
	cores := r.cores()
	var b strings.Builder
	b.WriteString("| |")
	for _, n := range cores {
		fmt.Fprintf(&b, " %s |", plural(n))
	}
	b.WriteString(" limit |\n| --- |" + strings.Repeat(" --- |", len(cores)+1) + "\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |", row.label)
		for _, n := range cores {
			summary, ok, err := r.summary(row, n)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, " %s |", cell(summary, ok, row.limit.on(n)))
		}
		fmt.Fprintf(&b, " %s |\n", row.limit)
	}
	fmt.Fprintf(&b, `
Medians, with the interval that holds the true one at 95 %%, which takes 6 runs.
The limits are this project's own; bold is over one.
%s.
`, r.where())
	return b.String(), nil
}

// cell is the median and its spread.
func cell(s benchmath.Summary, ok bool, most float64) string {
	if !ok {
		return "–" // not measured
	}
	text, low, high := figure(s.Center), figure(s.Lo), figure(s.Hi)
	exact := low == high
	tooFew := math.IsInf(s.Lo, 0) || math.IsInf(s.Hi, 0)
	if most != 0 && s.Center > most {
		text = "**" + text + "**"
	}
	if exact || tooFew {
		return text
	}
	return fmt.Sprintf("%s (%s to %s)", text, low, high)
}

// figure is a value with three digits or, if it is a large one, as a whole number.
func figure(value float64) string {
	if value >= 100 || value == math.Trunc(value) {
		return strconv.FormatFloat(value, 'f', 0, 64)
	}
	digits := 2
	if value >= 10 {
		digits = 1
	}
	return strconv.FormatFloat(value, 'f', digits, 64)
}

// on is the limit on so many cores; 0 if there is none.
func (l limit) on(cores int) float64 {
	if cores < 1 || cores > len(l) {
		return 0
	}
	return l[cores-1]
}

func (l limit) String() string {
	if l[0] == l[1] && l[0] != 0 {
		return figure(l[0])
	}
	var parts []string
	for i, most := range l {
		if most != 0 {
			parts = append(parts, fmt.Sprintf("%s on %s", figure(most), plural(i+1)))
		}
	}
	return strings.Join(parts, ", ")
}

func plural(cores int) string {
	if cores == 1 {
		return "1 core"
	}
	return fmt.Sprintf("%d cores", cores)
}

// where says what the run says of its machine.
func (r *results) where() string {
	text := fmt.Sprintf("Measured on %s, %s/%s",
		r.machine["cpu"], r.machine["goos"], r.machine["goarch"])
	if n, err := strconv.Atoi(r.machine["cores"]); err == nil {
		text += ", " + plural(n)
	}
	if version := r.machine["go"]; version != "" {
		text += ", " + version
	}
	return text
}
