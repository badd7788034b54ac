// Command fleet shows what sharing tokens through Redis saves. It runs worker processes against a
// fake Looker, each of which acts as every user. Then it kills one worker and starts another in its
// place. It does this once without the store, and once with it.
//
//	go run ./examples/fleet -workers 8 -users 1000
//
// It needs redis-server, or a server given with -redis.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C waits for nothing
	task := func() error { return run(ctx, os.Args[1:], os.Stdout) }
	if isWorker() {
		task = func() error { return work(ctx, os.Stdin, os.Stdout) }
	}
	if err := task(); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	workers, users int
	redis          string // host:port; empty: a server of its own
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	stop, err := o.findRedis(ctx)
	if err != nil {
		return err
	}
	defer stop()

	fmt.Fprintf(out, "%d processes act as %d users each. "+
		"Then one is killed, and replaced by another one.\n\n", o.workers, o.users)
	without, err := measure(ctx, o, "")
	if err != nil {
		return err
	}
	with, err := measure(ctx, o, o.redis)
	if err != nil {
		return err
	}
	return show(out, without, with)
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&o.workers, "workers", 8, "processes to run")
	flags.IntVar(&o.users, "users", 1000, "users that each process acts as")
	flags.StringVar(&o.redis, "redis", "",
		"`host:port` of a server to use, where sealed tokens stay for an hour; starts one if empty")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 || o.workers < 1 || o.users < 1 {
		return o, errors.New("use -workers and -users with 1 or more, and no other arguments")
	}
	return o, nil
}

// findRedis starts a server unless one was given. stop ends it.
func (o *options) findRedis(ctx context.Context) (stop func(), err error) {
	if o.redis != "" {
		client := redis.NewClient(&redis.Options{Addr: o.redis})
		defer client.Close()
		return func() {}, client.Ping(ctx).Err()
	}
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return nil, err
	}
	server, err := redisserver.Start(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	o.redis = server.Addr
	return func() {
		server.Stop()
		_ = os.RemoveAll(dir) // nothing of worth is in it
	}, nil
}

// show prints the figures side by side.
func show(out io.Writer, without, with figures) error {
	const format = "%-42s %17v %9v\n"
	row := func(name string, without, with any) { fmt.Fprintf(out, format, name, without, with) }
	row("", "without the store", "with it")
	row("logins", without.logins, with.logins)
	row("logins of the process that replaced one", without.restartLogins, with.restartLogins)
	row("live tokens of a user at Looker, at most", without.liveTokens, with.liveTokens)
	row("requests", without.requests, with.requests)
	row("failed requests", without.failures, with.failures)
	if without.storeErrors+with.storeErrors != 0 {
		row("store errors", without.storeErrors, with.storeErrors)
	}
	if failure := cmp.Or(without.failure, with.failure); failure != "" {
		return fmt.Errorf("requests failed, one of them with: %s", failure)
	}
	return nil
}
