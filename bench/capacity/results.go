package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is how one contestant coped with one load in one scene. All but AllHad is of what is
// counted of the scene.
type result struct {
	Scene      string
	Load       int // in percent of what Looker can log in
	Users      int
	Contestant string

	Requests, Waited     int
	Median, P99, Longest time.Duration // of the requests that waited, whatever came of them
	Left                 int           // got nothing until their deadline
	Failed               int           // got an error before it
	Lacked               time.Duration // the longest time that a user asked until he had a token

	Logins        int
	LoginsPerLife float64 // 1 is one login of each user for each usable life of a token

	AllHad time.Duration // how long it took until every user had had a token; 0 if that was never
}

// quantile is the duration that this share of them does not exceed; 0 if there is none. They are in
// ascending order.
func quantile(of []time.Duration, share float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	return of[max(int(math.Ceil(share*float64(len(of))))-1, 0)]
}

// before is the name of lookerauth as it was.
const before = ours + ", before the queue"

//go:embed before.json
var beforeJSON []byte

// recording is what before.json has: the results of lookerauth alone.
type recording struct {
	Settings settings
	Results  []result
}

// record writes lookerauth's results to a file, and returns what is in there then.
func record(file string, s settings, results []result) ([]byte, error) {
	r := recording{Settings: s}
	for _, result := range results {
		if result.Contestant == ours {
			result.Contestant = before
			r.Results = append(r.Results, result)
		}
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return nil, err
	}
	return text, os.WriteFile(file, append(text, '\n'), 0o644)
}

// recorded returns what was recorded with these settings, of the same scenes and loads.
func recorded(data []byte, s settings, results []result) (found []result, err error) {
	var r recording
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("before.json: %w", err)
	}
	if r.Settings != s {
		return nil, nil
	}
	for _, old := range r.Results {
		same := func(new result) bool { return new.Scene == old.Scene && new.Load == old.Load }
		if slices.ContainsFunc(results, same) {
			found = append(found, old)
		}
	}
	return found, nil
}

// of returns the results of a scene; those of each load next to each other.
func of(results []result, scene string) (found []result) {
	for _, r := range results {
		if r.Scene == scene {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b result) int { return a.Load - b.Load })
	return found
}

// printResults prints a table for each scene, in Markdown.
func printResults(out io.Writer, o options, results []result) error {
	fmt.Fprintf(out, "Looker serves %s at once. A token lives for %v. Users send a request every\n"+
		"%v to %v, and %s.\n", logins(o.Slots),
		short(tokenLife), short(leastPause), short(mostPause), o.patience())
	for _, scene := range o.scenes {
		fmt.Fprintf(out, "\n%s, %v: %s\n\n", scene.name, short(o.Length), scene.text)
		table := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
		row := func(cells ...any) {
			fmt.Fprintf(table, strings.Repeat("| %v\t", len(cells))+"|\n", cells...)
		}
		row("load", "users", "", "requests", "waited", "median", "99th", "longest", "left",
			"failed", "lacked", "logins", "all had")
		row("---", "---", "---", "---", "---", "---", "---", "---", "---",
			"---", "---", "---", "---")
		for _, r := range of(results, scene.name) {
			row(fmt.Sprintf("%d %%", r.Load), r.Users, r.Contestant, r.Requests, r.Waited,
				show(r.Median), show(r.P99), show(r.Longest), r.Left,
				r.Failed, show(r.Lacked), fmt.Sprintf("%.2f", r.LoginsPerLife), show(r.AllHad))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func logins(n int) string {
	if n == 1 {
		return "1 login"
	}
	return fmt.Sprintf("%d logins", n)
}

// show shows how long something took.
func show(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < 10*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f min", d.Minutes())
}

// short is a duration without what is 0 at its end, such as 1h instead of 1h0m0s.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if rest, ok := strings.CutSuffix(text, zero); ok {
			text = rest + zero[:1]
		}
	}
	return text
}
