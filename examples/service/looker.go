package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
	"github.com/lookerauth/lookerauth/redisstore"
)

// withRedis lets processes share tokens through the Redis at REDIS_URL, if there is one.
func withRedis(cfg lookerauth.Config) (lookerauth.Config, func(), error) {
	url := os.Getenv("REDIS_URL")
	if url == "" {
		return cfg, func() {}, nil
	}
	options, err := redis.ParseURL(url)
	if err != nil {
		return cfg, nil, fmt.Errorf("REDIS_URL is no address of a Redis: redis://host:6379/0 is")
	}
	key, err := hexKey("TOKEN_STORE_KEY", os.Getenv("TOKEN_STORE_KEY"))
	if err != nil {
		return cfg, nil, err
	}
	client := redis.NewClient(options)
	cfg.Store, cfg.StoreKeys = redisstore.New(client), [][]byte{key}
	return cfg, func() { _ = client.Close() }, nil
}

// demoCustomers are the customers of the fake Looker, by their external ids. It does not know Eve.
var demoCustomers = []string{"ann", "bob", "eve"}

// demo starts a fake Looker with two customers, whose page is at this address.
func demo(page net.Addr) (lookerauth.Config, func(), error) {
	_, port, _ := net.SplitHostPort(page.String())
	origins := []string{"http://" + page.String(), "http://localhost:" + port}
	looker, err := lookertest.Start(lookertest.WithOrigins(origins...))
	if err != nil {
		return lookerauth.Config{}, nil, err
	}
	fill(looker)
	return looker.Config(), looker.Close, nil
}

// fill gives the fake Looker its customers and their orders.
func fill(looker *lookertest.Server) {
	looker.SetUsers(
		lookertest.User{ID: "789", FirstName: "Ann", Credentials: embedID("ann")},
		lookertest.User{ID: "790", FirstName: "Bob", Credentials: embedID("bob")},
	)
	looker.HandleFunc("GET /looks/1/run/json", func(w http.ResponseWriter, r *http.Request) {
		lookertest.JSON(w, http.StatusOK, demoOrders[lookertest.UserOf(r).ID])
	})
	looker.HandleFunc("GET /looks/1/run/csv", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/csv")
		lines := []string{"No.,Date,Article,Status,Pieces,Total"}
		for _, o := range demoOrders[lookertest.UserOf(r).ID] {
			lines = append(lines, fmt.Sprintf("%d,%s,%s,%s,%d,%.2f",
				o.ID, o.Date, o.Article, o.Status, o.Pieces, o.Total))
		}
		fmt.Fprintln(w, strings.Join(lines, "\n"))
	})
}

func embedID(id string) map[lookerauth.CredentialType]string {
	return map[lookerauth.CredentialType]string{lookerauth.CredentialEmbed: id}
}

// order is a row of the look.
type order struct {
	ID      int     `json:"orders.id"`
	Date    string  `json:"orders.date"`
	Article string  `json:"orders.article"`
	Status  string  `json:"orders.status"`
	Pieces  int     `json:"orders.pieces"`
	Total   float64 `json:"orders.total"`
}

// demoOrders are the rows of each user of Looker's.
var demoOrders = map[string][]order{
	"789": {
		{1042, "2026-10-19", "Oak desk", "open", 2, 1180},
		{1037, "2026-09-30", "Desk lamp", "shipped", 6, 414},
		{1029, "2026-08-12", "Swivel chair", "delivered", 4, 996},
		{1018, "2026-06-03", "Bookshelf", "delivered", 3, 627},
		{1007, "2026-03-21", "Filing cabinet", "delivered", 1, 289},
	},
	"790": {
		{2051, "2026-10-22", "Espresso machine", "shipped", 1, 749},
		{2044, "2026-09-14", "Coffee beans, 1 kg", "delivered", 24, 432},
		{2031, "2026-07-08", "Milk frother", "delivered", 2, 118},
		{2012, "2026-04-17", "Cups, set of 12", "delivered", 5, 275},
	},
}
