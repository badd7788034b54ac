//go:build unix

package redisstore_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/redisstore"
	"github.com/lookerauth/lookerauth/redisstore/internal/redisserver"
	"github.com/lookerauth/lookerauth/storetest"
)

func TestStoreNeedsFewRights(t *testing.T) {
	server := redisserver.New(t)
	rights := []any{
		"~lookerauth:*", "+@connection", "+getrange", "+set", "+del", "+eval", "+evalsha",
	}
	set := append([]any{"ACL", "SETUSER", "fleet", "on", ">password"}, rights...)
	check(t, newClient(t, server.Addr).Do(t.Context(), set...).Err())

	client := redis.NewClient(&redis.Options{
		Addr: server.Addr, Username: "fleet", Password: "password",
	})
	defer client.Close()
	storetest.Run(t, func(*testing.T) lookerauth.Store { return redisstore.New(client) })

	other := redisstore.New(client, redisstore.WithPrefix("other:"))
	for name, operation := range operations {
		if err := operation(t.Context(), other); !redis.HasErrorPrefix(err, "NOPERM") {
			t.Errorf("%s reaches beyond the prefix: %v", name, err)
		}
	}
}

// What the script is not allowed to do is an error, and not taken for a value of another type.
func TestMissingRightIsAnError(t *testing.T) {
	server := redisserver.New(t)
	for _, missing := range []string{"getrange", "set", "evalsha"} {
		set := []any{
			"ACL", "SETUSER", "fleet", "reset", "on", ">password", "~*", "+@all", "-" + missing,
		}
		check(t, newClient(t, server.Addr).Do(t.Context(), set...).Err())
		client := redis.NewClient(&redis.Options{
			Addr: server.Addr, Username: "fleet", Password: "password",
		})
		defer client.Close()
		err := operations["CompareAndSwap"](t.Context(), redisstore.New(client))
		if err == nil {
			t.Errorf("without the right to %s: no error", missing)
		}
	}
}
