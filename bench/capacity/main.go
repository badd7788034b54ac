// Command capacity shows how many users Looker can log in, and who waits before that limit is
// reached. It simulates hours of virtual time: users send requests through lookerauth, through
// golang.org/x/oauth2 and through the cache of aws-sdk-go-v2, and the more users there are, the
// closer their logins come to all that Looker can do. It prints who waited for how long, and draws
// it. What lookerauth did before it had its queue stands beside that, as recorded in before.json:
//
//	cd bench && go run ./capacity -o capacity/capacity.svg
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lookerauth/lookerauth/bench/internal/readme"
)

// main runs the program as a test: only with a testing.T there is virtual time. The testing package
// then sees none of the flags, and prints nothing, as the test ends the process.
func main() {
	args := os.Args[1:]
	os.Args = os.Args[:1]
	debug.SetGCPercent(200) // a simulation leaves much garbage behind
	all := func(string, string) (bool, error) { return true, nil }
	program := func(t *testing.T) {
		err := run(t, args, os.Stdout)
		if err != nil && !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "capacity:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testing.Main(all, []testing.InternalTest{{Name: "capacity", F: program}}, nil, nil)
}

// run is the program.
func run(t *testing.T, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	results, err := simulate(t, o)
	if err != nil {
		return err
	}
	data := beforeJSON
	if o.record != "" {
		if data, err = record(o.record, o.settings, results); err != nil {
			return err
		}
	}
	old, err := recorded(data, o.settings, results)
	if err != nil {
		return err
	}
	results = append(results, old...)
	var text strings.Builder
	if err := printResults(io.MultiWriter(out, &text), o, results); err != nil {
		return err
	}
	if o.readme != "" {
		if err := readme.Insert(o.readme, "capacity", text.String()); err != nil {
			return err
		}
	}
	if o.picture == "" {
		return nil
	}
	return save(o, results)
}

// simulate has every contestant cope with every load of every scene, as many at once as there are
// cores: each has a virtual time of its own.
func simulate(t *testing.T, o options) (results []result, err error) {
	var trials []func() (result, error)
	for _, s := range o.scenes {
		for _, percent := range o.loads {
			for _, c := range contestants {
				trials = append(trials, func() (result, error) {
					return newTrial(o.settings, s, percent, c).run()
				})
			}
		}
	}
	results = make([]result, len(trials))
	errs := make([]error, len(trials))
	ok := t.Run("simulation", func(t *testing.T) {
		for i, trial := range slices.Backward(trials) { // the long ones first
			t.Run("trial", func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { results[i], errs[i] = trial() })
			})
		}
	})
	if !ok {
		return nil, errors.New("a simulation did not come to its end")
	}
	return results, errors.Join(errs...)
}

// save draws the results to a file.
func save(o options, results []result) error {
	f, err := os.Create(o.picture)
	if err != nil {
		return err
	}
	return errors.Join(picture(f, o, results), f.Close())
}
