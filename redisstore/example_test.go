package redisstore_test

import (
	"context"
	"encoding/hex"
	"log"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/redisstore"
)

// Processes that have the same API key, Redis and TOKEN_STORE_KEY share their tokens.
func Example() {
	ctx := context.Background()
	cfg, err := lookerauth.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	// 64 digits, from: openssl rand -hex 32
	key, err := hex.DecodeString(os.Getenv("TOKEN_STORE_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()

	cfg.Store = redisstore.New(client)
	cfg.StoreKeys = [][]byte{key}
	cache, err := lookerauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(ctx) // leaves the tokens to the other processes
}

// Two installations that share a Redis keep apart what is theirs.
func ExampleWithPrefix() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()

	var store *redisstore.Store = redisstore.New(client, redisstore.WithPrefix("staging:"))

	cfg, err := lookerauth.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	cfg.Store = store
}
