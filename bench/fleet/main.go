// Command fleet shows what a Store costs when many processes start at once. It runs worker
// processes against a fake Looker: each user in one of them, and all users in each of them, with a
// Redis and without one, beside one process that has as many slots as all of them. It prints how
// long that took, what of the time was the processor's, and what was asked of Redis:
//
//	cd bench && go run ./fleet -readme README.md
//
// It needs redis-server, and ends the one that it starts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/lookerauth/lookerauth/bench/internal/readme"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C waits for nothing
	program := func() error { return run(ctx, os.Args[1:], os.Stdout) }
	if isWorker() {
		program = func() error { return work(os.Stdin, os.Stdout) }
	}
	if err := program(); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	processes, slots, users, rounds int
	login                           time.Duration
	readme                          string
}

// run is the program.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	results, err := measure(ctx, o)
	if err != nil {
		return err
	}
	var text strings.Builder
	printResults(io.MultiWriter(out, &text), o, results)
	if o.readme == "" {
		return nil
	}
	return readme.Insert(o.readme, "fleet", text.String())
}

func parse(args []string, out io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&o.processes, "processes", 8, "processes of a fleet")
	flags.IntVar(&o.slots, "slots", 16, "logins that each of them makes at once")
	flags.IntVar(&o.users, "users", 10_000, "users that are logged in")
	flags.IntVar(&o.rounds, "rounds", 3, "how often everything is measured, for a median")
	flags.DurationVar(&o.login, "login", 5*time.Millisecond, "how long a login takes")
	flags.StringVar(&o.readme, "readme", "", "put what is printed into this `file`, too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if min(o.processes, o.slots, o.users, o.rounds) < 1 || o.login < 0 {
		return o, errors.New("-processes, -slots, -users and -rounds must be 1 or more, -login 0")
	}
	return o, nil
}
