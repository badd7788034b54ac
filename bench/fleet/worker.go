package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/redisstore"
)

// workerVariable is in the environment of worker processes, and of no other.
const workerVariable = "FLEET_WORKER"

func isWorker() bool { return os.Getenv(workerVariable) != "" }

// settings are the first that a worker is sent.
type settings struct {
	BaseURL, ClientID, ClientSecret string

	Users, Slots int
	Redis        string // host:port; empty: no Store
	StoreKey     []byte
}

// task is what a worker is sent then: to get the tokens of so many users.
type task struct {
	First, End int  // ends before End
	Refresh    bool // once all tokens are old enough for that
}

// report is what a worker answers to its settings, and to each task, of all the time since.
type report struct {
	Failure                        string // why somebody got no token
	RoundTrips, Found, StoreErrors uint64
	Processor                      time.Duration
}

// worker is a process that does tasks.
type worker struct {
	cache      *lookerauth.Cache
	clock      clock
	roundTrips roundTrips
}

// work is a worker process. It ends with in, and so with its parent.
func work(in io.Reader, out io.Writer) error {
	tasks, reports := json.NewDecoder(in), json.NewEncoder(out)
	var s settings
	if err := tasks.Decode(&s); err != nil {
		return err
	}
	var w worker
	if err := w.start(s); err != nil {
		return err
	}
	var failure error
	for {
		if err := reports.Encode(w.report(failure)); err != nil {
			return err
		}
		var t task
		switch err := tasks.Decode(&t); {
		case errors.Is(err, io.EOF):
			return nil // Looker ends, too: nobody must be logged out
		case err != nil:
			return err
		}
		failure = w.do(t)
	}
}

func (w *worker) start(s settings) (err error) {
	cfg := lookerauth.Config{
		BaseURL:             s.BaseURL,
		ClientID:            s.ClientID,
		ClientSecret:        s.ClientSecret,
		MaxUsers:            s.Users,
		MaxConcurrentLogins: s.Slots,
		Transport:           &http.Transport{MaxIdleConnsPerHost: s.Slots},
		Clock:               &w.clock,
	}
	if s.Redis != "" {
		client := redis.NewClient(&redis.Options{Addr: s.Redis})
		cfg.Store = redisstore.New(client)
		cfg.StoreKeys = [][]byte{s.StoreKey}
		client.AddHook(&w.roundTrips)
	}
	w.cache, err = lookerauth.New(cfg)
	return err
}

// atOnce is how many callers a worker has at the same time.
const atOnce = 1000

// do asks for the token of each user, in an order of its own.
func (w *worker) do(t task) error {
	before := w.renewed()
	if t.Refresh {
		w.clock.ahead.Add(int64(refreshAge))
	}
	var callers errgroup.Group
	callers.SetLimit(atOnce)
	for _, i := range rand.Perm(t.End - t.First) {
		callers.Go(func() error {
			_, err := w.cache.User(strconv.Itoa(firstUser + t.First + i)).Token()
			return err
		})
	}
	if err := callers.Wait(); err != nil || !t.Refresh {
		return err
	}
	want := before + uint64(t.End-t.First)
	for end := time.Now().Add(time.Minute); w.renewed() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d tokens are refreshed, want %d", w.renewed()-before, want-before)
		}
	}
	return nil
}

// renewed is how many users' tokens were refreshed. Nobody tells when.
func (w *worker) renewed() uint64 { return w.cache.Stats().UserLogins.Refreshed }

func (w *worker) report(failure error) report {
	stats := w.cache.Stats()
	r := report{
		RoundTrips:  w.roundTrips.n.Load(),
		Found:       stats.StoreHits,
		StoreErrors: stats.StoreErrors,
		Processor:   processorTime(),
	}
	if failure != nil {
		r.Failure = failure.Error()
	}
	return r
}

// firstUser is the id of the first user.
const firstUser = 1000

// refreshAge is an age at which every token is refreshed, and none has ended: they live for an
// hour.
const refreshAge = 57 * time.Minute

// clock is the system's clock, set ahead.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// roundTrips counts what a Store sends to Redis. The handshake of each connection is none of that.
type roundTrips struct{ n atomic.Uint64 }

func (r *roundTrips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *roundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch cmd.Name() {
		case "getrange", "evalsha", "eval":
			r.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (r *roundTrips) ProcessPipelineHook(
	next redis.ProcessPipelineHook,
) redis.ProcessPipelineHook {
	return next
}
