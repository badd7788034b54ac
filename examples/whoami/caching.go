package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

const (
	requestCount = 1000
	userCount    = 200
	firstUser    = 1000 // the id of the first of them
	atOnce       = 50
)

// showCaching sends the requests, draws how far they are, and prints what they cost.
func showCaching(
	ctx context.Context, l looker, fake *lookertest.Server, out, drawing io.Writer,
) error {
	times, errs := sendAll(ctx, l, drawing)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failures := len(errs)
	logins := fake.Count(lookertest.OpLogin, "") // the service account's
	userLogins := fake.Count(lookertest.OpLoginUser, "")
	// A request without a cache takes a login, and with the token of that a login_user.
	const uncached = 2 * requestCount

	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "requests\t%8d\tas %d users, %d at a time\n",
		requestCount, userCount, atOnce)
	fmt.Fprintf(table, "failures\t%8d\n", failures)
	fmt.Fprintf(table, "login calls\t%8d\tall since the start\n", logins)
	fmt.Fprintf(table, "login_user calls\t%8d\tall since the start\n", userLogins)
	fmt.Fprintf(table, "calls saved\t%8d\tof the %d that logging in for each request would make\n",
		uncached-logins-userLogins, uncached)
	fmt.Fprintf(table, "median request\t%8s\n", milliseconds(times[len(times)/2]))
	fmt.Fprintf(table, "slowest request\t%8s\n", milliseconds(times[len(times)-1]))
	if err := table.Flush(); err != nil {
		return err
	}
	if failures > 0 {
		return fmt.Errorf("%d of %d requests failed, one of them with: %w",
			failures, requestCount, errs[0])
	}
	return nil
}

// sendAll sends the requests. It returns how long they took, the slowest last, and the errors of
// those that failed.
func sendAll(ctx context.Context, l looker, drawing io.Writer) ([]time.Duration, []error) {
	times, errs := make([]time.Duration, requestCount), make([]error, requestCount)
	progress := progress{out: drawing}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range requestCount {
		group.Go(func() error {
			start := time.Now()
			errs[i] = l.checkUser(ctx, strconv.Itoa(firstUser+i%userCount))
			times[i] = time.Since(start)
			progress.add()
			return nil
		})
	}
	_ = group.Wait() // no function in it fails
	progress.clear()
	slices.Sort(times)
	return times, slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// checkUser fails if Looker takes a request as this user for anybody else's.
func (l looker) checkUser(ctx context.Context, id string) error {
	me, err := l.me(lookerauth.WithUser(ctx, id))
	if err != nil {
		return err
	}
	if me.id() != id {
		return fmt.Errorf("a request as user %s was answered as user %s: please report this",
			id, me.id())
	}
	return nil
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
