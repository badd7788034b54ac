// Command service is a small product: its customers see what Looker has of them. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lookerauth/lookerauth"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:8080", "`address` to listen on")
	look := flag.String("look", "1", "`id` of the look to show")
	customers := flag.String("customers", strings.Join(demoCustomers, ","),
		"external `ids` of the customers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C waits for nothing
	if err := run(ctx, *addr, *look, strings.Split(*customers, ",")); err != nil {
		log.Fatal("service: ", err)
	}
}

// run serves until ctx ends: with the Looker that the environment leads to, or with a fake one.
func run(ctx context.Context, addr, look string, customers []string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	cfg, end, err := configure(listener.Addr())
	if err != nil {
		return err
	}
	defer end()
	key, err := sessionKey()
	if err != nil {
		return err
	}
	fmt.Printf("Open http://%s\n", listener.Addr())
	return serve(ctx, listener, cfg, settings{key, customers, look})
}

// configure returns a Config, and what ends all that it needs.
func configure(page net.Addr) (lookerauth.Config, func(), error) {
	if os.Getenv("LOOKERSDK_BASE_URL") == "" {
		return demo(page)
	}
	cfg, err := lookerauth.ConfigFromEnv()
	if err != nil {
		return cfg, nil, err
	}
	return withRedis(cfg)
}

// How long the end may take: less than what is left of Kubernetes' 30 seconds.
const (
	requestsBudget = 10 * time.Second
	logoutsBudget  = 10 * time.Second
)

// serve serves until ctx ends. Then requests have their budget, and logouts have theirs.
func serve(
	ctx context.Context, listener net.Listener, cfg lookerauth.Config, set settings,
) error {
	cfg.Logger = slog.Default()
	cache, err := lookerauth.New(cfg)
	if err != nil {
		return err
	}
	handler, err := newService(cache, cfg.BaseURL, set)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	var served error
	running.Go(func() { warmUp(ctx, cache) })
	running.Go(func() {
		defer stop()
		served = server.Serve(listener)
	})
	<-ctx.Done()

	requests, cancel := context.WithTimeout(context.Background(), requestsBudget)
	defer cancel()
	if server.Shutdown(requests) != nil {
		_ = server.Close()
	}
	running.Wait()
	logouts, cancel := context.WithTimeout(context.Background(), logoutsBudget)
	defer cancel()
	if errors.Is(served, http.ErrServerClosed) { // as it was told to
		served = nil
	}
	return errors.Join(served, cache.Close(logouts))
}

// warmUp logs the service account in, so that the first customer does not wait for that. It goes on
// until Looker is there.
func warmUp(ctx context.Context, cache *lookerauth.Cache) {
	for {
		_, err := cache.ServiceAccount().TokenContext(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		slog.Warn("not ready yet", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}
