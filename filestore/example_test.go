package filestore_test

import (
	"context"
	"log"
	"os"
	"path/filepath"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/filestore"
)

// A command that runs often finds the tokens of the run before.
func Example() {
	cfg, err := lookerauth.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	caches, err := os.UserCacheDir()
	if err != nil {
		log.Fatal(err)
	}
	store, err := filestore.Open(filepath.Join(caches, "report"))
	if err != nil {
		log.Fatal(err)
	}
	cfg.Store = store
	cfg.StoreKeys = store.Keys()
	cache, err := lookerauth.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(context.Background()) // leaves the tokens to the next run
}
