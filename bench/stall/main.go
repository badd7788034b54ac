// Command stall shows who waits while tokens are renewed. Workers send requests at an even pace to
// a fake Looker whose tokens live for seconds and whose logins are slow: through lookerauth,
// through golang.org/x/oauth2, and through the official Looker Go SDK, one after the other.
// Half-way every token is revoked. It prints how long requests took, and draws it:
//
//	cd bench && go run ./stall -o stall/stall.svg
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// defaults let the program run for a little over a minute.
//
// A token lives for 15 s. x/oauth2, and the SDK on top of it, take a token for expired 10 s before
// it is: they would log in for each request if it lived for 10 s or less. So they renew it every
// 5 s, and lookerauth every 10 s; everyone keeps the defaults that users have. At Looker, where a
// token lives for an hour by default, the same happens once an hour to each identity.
var defaults = load{
	duration:  24 * time.Second,
	tokenLife: 15 * time.Second,
	login:     300 * time.Millisecond,
	workers:   8,
}

func main() {
	err := run(os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "stall:", err)
		os.Exit(1)
	}
}

// run is the program. It starts a server for each contestant, with the options.
func run(args []string, out io.Writer, opts ...lookertest.Option) error {
	l, file, err := parse(args, out)
	if err != nil {
		return err
	}
	var trials []trial
	for _, c := range contestants {
		looker, err := lookertest.Start(opts...)
		if err != nil {
			return err
		}
		t, err := try(c, looker, l)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		trials = append(trials, t)
	}
	if err := printTrials(out, l, trials); err != nil || file == "" {
		return err
	}
	return save(file, l, trials)
}

// parse returns the load and the name of the picture's file.
func parse(args []string, out io.Writer) (l load, file string, err error) {
	flags := flag.NewFlagSet("stall", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.DurationVar(&l.duration, "duration", defaults.duration,
		"how long each contestant is measured")
	flags.DurationVar(&l.tokenLife, "life", defaults.tokenLife,
		"how long a token lives, in whole seconds; over 10s, or x/oauth2 logs in for each request")
	flags.DurationVar(&l.login, "login", defaults.login, "how long a login takes")
	flags.IntVar(&l.workers, "workers", defaults.workers,
		"how many workers send requests, each every "+interval.String())
	flags.StringVar(&file, "o", "stall.svg", "the `file` to draw to; no picture if it is empty")
	if err := flags.Parse(args); err != nil {
		return load{}, "", err
	}
	if flags.NArg() > 0 {
		return load{}, "", fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return l, file, l.validate()
}

// save draws the trials to a file.
func save(file string, l load, trials []trial) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(picture(f, l, trials), f.Close())
}

// printTrials prints two tables, as a renewal and a revocation are different things to wait for.
func printTrials(out io.Writer, l load, trials []trial) error {
	fmt.Fprintf(out, "%d workers, each with a request every %v, as the service account. "+
		"A token lives for %v, a login takes %v.\n", l.workers, interval, l.tokenLife, l.login)
	fmt.Fprintf(out, "Latency is counted from when a request was due. %s, %d cores.\n",
		runtime.Version(), runtime.GOMAXPROCS(0))

	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nBefore the clock starts: everybody waits for the first login")
	fmt.Fprintln(table, "\tlogins\tslowest\t")
	for _, t := range trials {
		slowest := showSeconds(t.firstLogin.Seconds())
		fmt.Fprintf(table, "%s\t%d\t%s\t\n", t.name, t.beforeTheClock().logins, slowest)
	}
	fmt.Fprintf(table, "\nFor %v: tokens are renewed as they age\n", l.duration/2)
	printPhases(table, trials, trial.untilRevocation)
	fmt.Fprintf(table, "\nFor another %v: first all tokens are revoked, then renewed as before\n",
		l.duration-l.duration/2)
	printPhases(table, trials, trial.fromRevocation)
	if err := table.Flush(); err != nil {
		return err
	}
	for _, t := range trials {
		if i := slices.IndexFunc(t.samples, sample.failed); i >= 0 {
			failure := strings.TrimSpace(t.samples[i].err.Error())
			fmt.Fprintf(out, "\nA failure of %s: %s\n", t.name, failure)
		}
	}
	return nil
}

func printPhases(out io.Writer, trials []trial, of func(trial) phase) {
	fmt.Fprint(out, "\trequests\tfailures\tlogins\tmedian\t99th percentile\tslowest\t\n")
	for _, t := range trials {
		p := of(t)
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t\n", t.name, p.requests, p.failures, p.logins,
			showSeconds(p.quantile(0.5)), showSeconds(p.quantile(0.99)), showSeconds(p.quantile(1)))
	}
}

// showSeconds shows a latency in seconds.
func showSeconds(seconds float64) string {
	if math.IsNaN(seconds) {
		return "none"
	}
	return fmt.Sprintf("%.1f ms", seconds*1000)
}
