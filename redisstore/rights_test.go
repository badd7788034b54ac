//go:build unix

package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/redisstore"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
)

func TestStoreNeedsFewRights(t *testing.T) {
	server := redisserver.New(t)
	rights := []any{
		"~lookerauth:*", "+@connection", "+get", "+set", "+del", "+eval", "+evalsha",
	}
	set := append([]any{"ACL", "SETUSER", "fleet", "on", ">password"}, rights...)
	check(t, newClient(t, server.Addr).Do(t.Context(), set...).Err())

	client := redis.NewClient(&redis.Options{
		Addr: server.Addr, Username: "fleet", Password: "password",
	})
	defer client.Close()
	store := redisstore.New(client)
	unlock := lock(t, store, "key")
	check(t, store.Put(t.Context(), "key", []byte("value"), time.Hour))
	wantValue(t, store, "key", []byte("value"))
	check(t, store.Delete(t.Context(), "key", []byte("value")))
	unlock()
	lock(t, store, "key")

	other := redisstore.New(client, redisstore.WithPrefix("other:"))
	_, err := other.Get(t.Context(), "key")
	if err == nil || errors.Is(err, lookerauth.ErrNotStored) {
		t.Errorf("the rights reach beyond the prefix: %v", err)
	}
}
