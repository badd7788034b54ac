package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// limits are bases that let few requests go out at once.
var limits = map[string]struct {
	http2                bool
	connections, streams int
}{
	"1 connection":                      {false, 1, 0},
	"10 connections":                    {false, 10, 0},
	"1 connection of HTTP/2":            {true, 1, 0},
	"1 connection of HTTP/2, 5 streams": {true, 1, 5},
}

// A login needs a connection of those whose requests wait for it.
func TestLimitedConnectionsServeAllAfterARevocation(t *testing.T) {
	const requests = 50
	bodies := map[string]string{"": "", " with uploads": strings.Repeat("all of it ", 64<<10/10)}
	for name, limit := range limits {
		for with, body := range bodies {
			t.Run(name+with, func(t *testing.T) {
				f := newFront(t, http.HandlerFunc(answerHash))
				f.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: limit.streams}
				f.start(t, limit.http2)
				f.base().MaxConnsPerHost = limit.connections
				cache := newCache(t, f.config())
				client := cache.User("789").Client()
				if _, err := cache.User("789").Token(); err != nil {
					t.Fatal(err)
				}
				f.fake.Revoke("789")
				var running sync.WaitGroup
				for n := range requests {
					running.Go(func() {
						text := fmt.Sprint(n, body)
						resp, err := client.Post(f.URL, "text/plain", strings.NewReader(text))
						if err != nil {
							t.Error(err)
							return
						}
						defer resp.Body.Close()
						got, err := io.ReadAll(resp.Body)
						if resp.StatusCode != http.StatusOK || string(got) != hashOf(text) {
							t.Errorf("answered %s: %s, %v", resp.Status, got, err)
						}
					})
				}
				running.Wait()
				checkLogins(t, f.fake, 2)
			})
		}
	}
}
