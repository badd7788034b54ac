// Command whoami asks Looker who it acts as: as the service account, and as each user given with
// -user. It keeps the tokens in a folder, so that it logs nobody in when it is run again.
//
//	export LOOKERSDK_BASE_URL=https://demo.looker.com:19999 LOOKERSDK_CLIENT_ID=… LOOKERSDK_CLIENT_SECRET=…
//	go run ./examples/whoami -user 789 -cache DIR
//
// With none of the three variables set it asks a fake Looker instead, in two runs.
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
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/filestore"
	"github.com/lookerauth/lookerauth/lookertest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "whoami:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	dir   string
	users []string
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("whoami", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.dir, "cache", "", "keep the tokens in this `folder` (default: one of yours)")
	addUser := func(id string) error {
		o.users = append(o.users, id)
		return nil
	}
	flags.Func("user", "act as the user with this `ID`, too; may be repeated", addUser)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: name each user with -user ID", flags.Arg(0))
	}
	if cmp.Or(
		os.Getenv("LOOKERSDK_BASE_URL"),
		os.Getenv("LOOKERSDK_CLIENT_ID"),
		os.Getenv("LOOKERSDK_CLIENT_SECRET"),
	) == "" {
		return o.askFake(ctx, out)
	}
	cfg, err := lookerauth.ConfigFromEnv()
	if err != nil {
		return err
	}
	if o.dir == "" {
		caches, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		o.dir = filepath.Join(caches, "lookerauth-whoami")
	}
	return o.ask(ctx, cfg, out)
}

// askFake asks a fake Looker, as two runs ask a real one.
func (o options) askFake(ctx context.Context, out io.Writer) error {
	fmt.Fprintln(out, "No LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID or LOOKERSDK_CLIENT_SECRET "+
		"is set: asking a fake Looker.")
	if len(o.users) == 0 {
		o.users = []string{"789", "790"}
	}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "whoami")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	fake, err := lookertest.Start()
	if err != nil {
		return err
	}
	defer fake.Close()
	for _, which := range []string{"first", "second"} {
		fmt.Fprintf(out, "\n%s run\n", which)
		if err := o.ask(ctx, fake.Config(), out); err != nil {
			return err
		}
	}
	return nil
}

// ask prints who the service account is, who each user, and how many logins that took.
func (o options) ask(ctx context.Context, cfg lookerauth.Config, out io.Writer) (err error) {
	store, err := filestore.Open(o.dir)
	if err != nil {
		return err
	}
	cfg.Store = store
	cfg.StoreKeys = store.Keys()
	cache, err := lookerauth.New(cfg)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, cache.Close(closing))
	}()
	identities := []lookerauth.Identity{lookerauth.ServiceAccount()}
	for _, id := range o.users {
		identities = append(identities, lookerauth.User(id))
	}
	version := cmp.Or(cfg.APIVersion, "4.0")
	for _, who := range identities {
		client := cache.As(who).Client()
		id, name, err := me(ctx, client, cfg.BaseURL+"/api/"+version+"/user")
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-15v  acts as user %s, %q\n", who, id, name)
	}
	switch n := cache.Stats().Logins; n {
	case 0:
		fmt.Fprintf(out, "no login: the tokens were in %s\n", o.dir)
	default:
		fmt.Fprintf(out, "logins: %d, whose tokens are now in %s\n", n, o.dir)
	}
	return nil
}

// me asks Looker who the client acts as.
func me(ctx context.Context, client *http.Client, url string) (id, name string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("GET %s: answered %s", url, resp.Status)
	}
	var answer struct {
		ID   json.RawMessage `json:"id"` // a number in API 3.x, a string in 4.0
		Name string          `json:"display_name"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return "", "", fmt.Errorf("GET %s: %w", url, lookerauth.ErrNotLooker)
	}
	return string(bytes.Trim(answer.ID, `"`)), answer.Name, nil
}
