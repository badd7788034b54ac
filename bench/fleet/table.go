package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// printResults prints two tables, in Markdown: what cold starts take, and what is asked of Redis.
func printResults(out io.Writer, o options, results [][]result) {
	ideal := o.login * time.Duration(o.users) / time.Duration(o.processes*o.slots)
	fmt.Fprintf(out, "%d processes with %d slots each, %d users, a login of %v: the ideal is %s.\n"+
		"Medians of %d rounds. The processes, the fake Looker and Redis share %d cores;\n"+
		"%s/%s, %s.\n\n",
		o.processes, o.slots, o.users, o.login, seconds(ideal),
		o.rounds, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	printColdStarts(out, o, results)
	fmt.Fprintln(out)
	printRedis(out, o, results[ownUsersStored], results[allUsersStored])
}

func printColdStarts(out io.Writer, o options, results [][]result) {
	table := newTable(out, "cold start", "took", "beside one process", "logins", "Store errors",
		"processor: processes", "Looker", "Redis", "all, on these cores")
	for i, t := range o.trials() {
		of := func(f func(figures) float64) float64 {
			return median(results[i], func(r result) float64 { return f(r.cold) })
		}
		ratios := make([]float64, o.rounds)
		for round, r := range results[i] {
			ratios[round] = float64(r.cold.time) / float64(results[oneProcess][round].cold.time)
		}
		table.row(t.name,
			seconds(of(func(f figures) float64 { return float64(f.time) })),
			fmt.Sprintf("%.2f", middle(ratios)),
			of(func(f figures) float64 { return float64(f.logins) }),
			of(func(f figures) float64 { return float64(f.storeErrors) }),
			seconds(of(func(f figures) float64 { return float64(f.workers) })),
			seconds(of(func(f figures) float64 { return float64(f.looker) })),
			seconds(of(func(f figures) float64 { return float64(f.redis) })),
			seconds(of(func(f figures) float64 {
				return float64(f.workers+f.looker+f.redis) / float64(runtime.NumCPU())
			})),
		)
	}
	table.flush()
}

func printRedis(out io.Writer, o options, own, all []result) {
	table := newTable(out, "Redis", "times", "round trips each", "commands each",
		"processor time each")
	row := func(name string, times float64, results []result, of func(result) figures) {
		each := func(f func(figures) float64) float64 {
			return median(results, func(r result) float64 { return f(of(r)) }) / max(times, 1)
		}
		table.row(name, times,
			fmt.Sprintf("%.2f", each(func(f figures) float64 { return float64(f.roundTrips) })),
			fmt.Sprintf("%.2f", each(func(f figures) float64 { return float64(f.commands) })),
			fmt.Sprintf("%.0f µs", each(func(f figures) float64 { return float64(f.redis) })/1e3),
		)
	}
	cold := func(r result) figures { return r.cold }
	looks := func(r result) figures { return r.looks }
	users := float64(o.users)
	row("login, each user in one process", users, own, cold)
	row("refresh, all at once", users, own, func(r result) figures { return r.refresh })
	row("token found", median(own, func(r result) float64 { return float64(r.looks.found) }), own,
		looks)
	row("token for all processes, which ask at once", users, all, cold)
	table.flush()
	fmt.Fprintf(out, "\nA user's value takes %.0f bytes of Redis' memory, with its name.\n",
		median(own, func(r result) float64 { return float64(r.cold.memory) }))
}

// table is one in Markdown.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer, heads ...any) table {
	t := table{tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)}
	t.row(heads...)
	t.row(slices.Repeat([]any{"---"}, len(heads))...)
	return t
}

func (t table) row(cells ...any) {
	fmt.Fprintf(t, strings.Repeat("| %v\t", len(cells))+"|\n", cells...)
}

func (t table) flush() { _ = t.Flush() } // whoever prints to a file sees what is missing

// median is the median of what f says of each result.
func median(results []result, f func(result) float64) float64 {
	var all []float64
	for _, r := range results {
		all = append(all, f(r))
	}
	return middle(all)
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func seconds[T float64 | time.Duration](nanoseconds T) string {
	return fmt.Sprintf("%.2f s", float64(nanoseconds)/1e9)
}
