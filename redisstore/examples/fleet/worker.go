package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/redisstore"
)

// A worker's environment, besides the LOOKERSDK_* variables.
const (
	usersVariable    = "FLEET_USERS"     // how many users it acts as; only workers have it
	redisVariable    = "FLEET_REDIS"     // host:port; empty: no store
	storeKeyVariable = "FLEET_STORE_KEY" // 32 bytes in hexadecimal
)

const (
	firstUser = 1000 // the id of the first of them
	atOnce    = 100  // requests of a worker
)

func isWorker() bool { return os.Getenv(usersVariable) != "" }

// report is what a worker prints after it has sent a request as each user.
type report struct {
	Requests, Failures int
	Failure            string // why one of those failed
	StoreErrors        uint64 // since the worker started
}

// work is a worker process. For each line of in it sends one request as each user. It ends with in,
// and so with its parent.
func work(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	users, err := strconv.Atoi(os.Getenv(usersVariable))
	if err != nil {
		return err
	}
	cfg, err := lookerauth.ConfigFromEnv()
	if err != nil {
		return err
	}
	cfg.MaxUsers = users
	cfg.Transport = &http.Transport{MaxIdleConnsPerHost: atOnce}
	if addr := os.Getenv(redisVariable); addr != "" {
		key, err := hex.DecodeString(os.Getenv(storeKeyVariable))
		if err != nil {
			return err
		}
		client := redis.NewClient(&redis.Options{Addr: addr})
		defer client.Close()
		cfg.Store = redisstore.New(client)
		cfg.StoreKeys = [][]byte{key}
	}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, cache.Close(closing))
	}()

	client := &http.Client{Transport: cache.Transport(nil), Timeout: time.Minute}
	reports := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		r := sendAll(ctx, client, cfg.BaseURL+"/api/4.0/user", users)
		r.StoreErrors = cache.Stats().StoreErrors
		if err := reports.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// sendAll sends a request as each user, in an order of its own.
func sendAll(ctx context.Context, client *http.Client, url string, users int) report {
	errs := make([]error, users)
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, i := range rand.Perm(users) {
		group.Go(func() error {
			errs[i] = checkUser(ctx, client, url, strconv.Itoa(firstUser+i))
			return nil
		})
	}
	_ = group.Wait() // no function in it fails
	r := report{Requests: users}
	for _, err := range errs {
		if err != nil {
			r.Failures++
			r.Failure = err.Error()
		}
	}
	return r
}

// checkUser fails unless Looker takes a request as this user for that user's.
func checkUser(ctx context.Context, client *http.Client, url, id string) error {
	req, err := http.NewRequestWithContext(lookerauth.WithUser(ctx, id), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var me struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&me); err != nil {
		return err
	}
	if me.ID != id {
		return fmt.Errorf("a request as user %s was answered %s as user %q", id, resp.Status, me.ID)
	}
	return nil
}
