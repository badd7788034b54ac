// Command gateway is Looker's API for the programs on this host. See README.md.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:19998", "loopback `address` to listen on")
	file := flag.String("keys", "", "`file` of the gateway's keys; a fake Looker if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C waits for nothing
	if err := run(ctx, *addr, *file); err != nil {
		log.Fatal("gateway: ", err)
	}
}

// run serves the Looker that the environment leads to, or a fake one if there is no file of keys.
func run(ctx context.Context, addr, file string) error {
	if file == "" {
		fake, err := lookertest.Start()
		if err != nil {
			return err
		}
		defer fake.Close()
		secret := rand.Text()
		fmt.Println("A fake Looker. This key logs user 789 in, who may log in user 790:")
		fmt.Println("export LOOKERSDK_CLIENT_ID=demo LOOKERSDK_CLIENT_SECRET=" + secret)
		return serve(ctx, addr, fake.Config(), []key{{"demo", secret, "789", []string{"790"}}})
	}
	var keys []key
	text, fileErr := os.ReadFile(file)
	cfg, envErr := lookerauth.ConfigFromEnv()
	if err := cmp.Or(envErr, fileErr, json.Unmarshal(text, &keys)); err != nil {
		return fmt.Errorf("-keys %s: %w", file, err)
	}
	return serve(ctx, addr, cfg, keys)
}

// serve serves until ctx ends. Requests under way have 10 seconds then. Tokens are logged out.
func serve(ctx context.Context, addr string, cfg lookerauth.Config, keys []key) error {
	if !isLoopback(addr) {
		return fmt.Errorf("%s is not on loopback: the gateway is for this host alone", addr)
	}
	looker, _ := url.Parse(cfg.BaseURL) // as New does
	cache, err := lookerauth.New(cfg)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("export LOOKERSDK_BASE_URL=http://%s\n", listener.Addr())
	gateway := newGateway(cache, looker, keys, time.Now)
	server := &http.Server{Handler: gateway, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	time.AfterFunc(10*time.Second, func() { _ = server.Close() }) // what is left are streams
	_ = server.Shutdown(context.Background())
	return cmp.Or(err, cache.Close(context.Background()))
}
