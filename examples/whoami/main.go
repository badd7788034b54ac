// Command whoami asks Looker who it acts as: as the service account, and as each user given with
// -user.
//
//	export LOOKERSDK_BASE_URL=https://demo.looker.com:19999 LOOKERSDK_CLIENT_ID=… LOOKERSDK_CLIENT_SECRET=…
//	go run ./examples/whoami -user 789 -user 790
//
// With none of the three variables set it asks a fake Looker instead, and then shows what caching
// saves there.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the logouts
	if err := run(ctx, os.Args[1:], os.Stdout, onTerminal(os.Stderr)); err != nil {
		fmt.Fprintln(os.Stderr, "whoami:", err)
		os.Exit(1)
	}
}

// run is the program. It prints to out, and draws how far it is to drawing, and clears that again.
// Its error is one line.
func run(ctx context.Context, args []string, out, drawing io.Writer) error {
	err := whoami(ctx, args, out, drawing)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return nil
	}
	// errors.Join puts each error on a line.
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

func whoami(ctx context.Context, args []string, out, drawing io.Writer) error {
	users, err := parse(args, out)
	if err != nil {
		return err
	}
	if cmp.Or(
		os.Getenv("LOOKERSDK_BASE_URL"),
		os.Getenv("LOOKERSDK_CLIENT_ID"),
		os.Getenv("LOOKERSDK_CLIENT_SECRET"),
	) == "" {
		return askFake(ctx, users, out, drawing)
	}
	cfg, err := lookerauth.ConfigFromEnv()
	if err != nil {
		return err
	}
	return withLooker(ctx, cfg, func(l looker) error { return l.introduce(ctx, users, out) })
}

// parse returns the users to act as.
func parse(args []string, out io.Writer) (users []string, err error) {
	flags := flag.NewFlagSet("whoami", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	addUser := func(id string) error {
		users = append(users, id)
		return nil
	}
	flags.Func("user", "act as the user with this `ID`, too; may be repeated", addUser)
	err = flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		flags.Usage()
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: see -h", err)
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q: name each user with -user ID", flags.Arg(0))
	}
	return users, nil
}

// askFake does with a fake Looker what is otherwise done with a real one, and more.
func askFake(ctx context.Context, users []string, out, drawing io.Writer) error {
	fmt.Fprintln(out, "No LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID or LOOKERSDK_CLIENT_SECRET "+
		"is set: asking a fake Looker.")
	if len(users) == 0 {
		users = []string{"789", "790"}
	}
	fake, err := lookertest.Start()
	if err != nil {
		return err
	}
	defer fake.Close()
	cfg := fake.Config()
	cfg.APIVersion = os.Getenv("LOOKERSDK_API_VERSION")
	return withLooker(ctx, cfg, func(l looker) error {
		if err := l.introduce(ctx, users, out); err != nil {
			return err
		}
		return showCaching(ctx, l, fake, out, drawing)
	})
}

// withLooker runs f with the Looker that cfg leads to. Then it logs every token out, even after
// Ctrl-C or SIGTERM.
func withLooker(ctx context.Context, cfg lookerauth.Config, f func(looker) error) error {
	cache, err := lookerauth.New(cfg)
	if err != nil {
		return err
	}
	api := strings.TrimRight(cfg.BaseURL, "/") + "/api/" + cmp.Or(cfg.APIVersion, "4.0")
	err = f(looker{
		client:  &http.Client{Transport: cache.Transport(nil), Timeout: time.Minute},
		userURL: api + "/user",
	})
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, cache.Close(closing))
}

type looker struct {
	client  *http.Client
	userURL string
}

// introduce prints who the service account is, and who each user.
func (l looker) introduce(ctx context.Context, users []string, out io.Writer) error {
	asServiceAccount := lookerauth.WithServiceAccount(ctx)
	if err := l.introduceOne(asServiceAccount, "service account", out); err != nil {
		return err
	}
	for _, id := range users {
		if err := l.introduceOne(lookerauth.WithUser(ctx, id), "user "+id, out); err != nil {
			return err
		}
	}
	return nil
}

func (l looker) introduceOne(ctx context.Context, identity string, out io.Writer) error {
	me, err := l.me(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%-15s  acts as user %s, %q\n", identity, me.id(), me.DisplayName)
	return nil
}

// person is what matters of Looker's answer.
type person struct {
	ID          json.RawMessage `json:"id"` // a number in API 3.x, a string in 4.0
	DisplayName string          `json:"display_name"`
}

func (p person) id() string { return string(bytes.Trim(p.ID, `"`)) }

// me asks Looker who the identity in ctx is.
func (l looker) me(ctx context.Context) (person, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.userURL, nil)
	if err != nil {
		return person{}, err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return person{}, l.noAnswer(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return person{}, l.noAnswer(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return person{}, fmt.Errorf("GET %s: answered %s: check LOOKERSDK_API_VERSION and "+
			"whether the user is enabled, or try again later", l.userURL, resp.Status)
	}
	var me person
	if json.Unmarshal(body, &me) != nil || me.id() == "" {
		return person{}, fmt.Errorf("GET %s: %w", l.userURL, lookerauth.ErrNotLooker)
	}
	return me, nil
}

// noAnswer makes one sentence of the error, without what net/http put around it. A login's error
// says itself what to do, unless the login just took too long.
func (l looker) noAnswer(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, lookerauth.ErrInvalidIdentity) {
		return err
	}
	login := errors.As(err, new(*lookerauth.CallError))
	if login && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("GET %s: check that the base URL is right and reachable: %w", l.userURL, err)
}
