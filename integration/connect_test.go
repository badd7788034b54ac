package integration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lookerauth/lookerauth"
)

// The procedures of a service that answers who is calling, and with what: One says the hash of it.
const (
	echoOne    = "/looker.example.Echo/One"
	echoStream = "/looker.example.Echo/Stream"
)

// echoes is a service with those procedures.
func echoes() http.Handler {
	one := func(_ context.Context, req *connect.Request[text]) (*connect.Response[text], error) {
		echo := req.Header().Get(userHeader) + ": " + hashOf(req.Msg.Value)
		return connect.NewResponse(wrapperspb.String(echo)), nil
	}
	stream := func(
		_ context.Context, stream *connect.ClientStream[text],
	) (*connect.Response[text], error) {
		echo := stream.RequestHeader().Get(userHeader) + ": "
		for stream.Receive() {
			echo += stream.Msg().Value
		}
		return connect.NewResponse(wrapperspb.String(echo)), stream.Err()
	}
	mux := http.NewServeMux()
	mux.Handle(echoOne, connect.NewUnaryHandler(echoOne, one))
	mux.Handle(echoStream, connect.NewClientStreamHandler(echoStream, stream))
	return mux
}

// text is the message of all calls.
type text = wrapperspb.StringValue

// forEachRPC runs test with each of connect's protocols, and a Cache for a service with those.
func forEachRPC(
	t *testing.T,
	test func(t *testing.T, f *front, cache *lookerauth.Cache, options ...connect.ClientOption),
) {
	for name, rpc := range map[string]struct {
		http2   bool
		options []connect.ClientOption
	}{
		"Connect":             {false, nil},
		"Connect over HTTP/2": {true, nil},
		"gRPC":                {true, []connect.ClientOption{connect.WithGRPC()}},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFront(t, rpc.http2, echoes())
			test(t, f, newCache(t, f.config()), rpc.options...)
		})
	}
}

func TestConnectCallsAreWholeAfterRevocations(t *testing.T) {
	const rounds, calls, size = 5, 10, 1 << 20
	forEachRPC(t, func(
		t *testing.T, f *front, cache *lookerauth.Cache, options ...connect.ClientOption,
	) {
		url := f.URL + echoOne
		client := connect.NewClient[text, text](cache.User("789").Client(), url, options...)
		for round := range rounds {
			f.fake.Revoke("789")
			var running sync.WaitGroup
			for call := range calls {
				running.Go(func() {
					sent := strings.Repeat(fmt.Sprintf("%d of %d, ", call, round), size/8)
					req := connect.NewRequest(wrapperspb.String(sent))
					resp, err := client.CallUnary(t.Context(), req)
					if err != nil {
						t.Errorf("call %d of round %d: %v", call, round, err)
					} else if resp.Msg.Value != "789: "+hashOf(sent) {
						t.Errorf("call %d of round %d is garbled", call, round)
					}
				})
			}
			running.Wait()
		}
		if cache.Stats().Replays < rounds-1 {
			t.Errorf("%d replays, want one after each revocation", cache.Stats().Replays)
		}
	})
}

func hashOf(s string) string {
	hash := sha256.Sum256([]byte(s))
	return hex.EncodeToString(hash[:])
}

// What was streamed cannot be sent again. The caller learns that at once, and may call again.
func TestConnectClientStreamAfterARevocationIsUnauthenticatedOnce(t *testing.T) {
	forEachRPC(t, func(
		t *testing.T, f *front, cache *lookerauth.Cache, options ...connect.ClientOption,
	) {
		httpClient := cache.User("789").Client()
		client := connect.NewClient[text, text](httpClient, f.URL+echoStream, options...)
		call := func() (string, error) {
			stream := client.CallClientStream(t.Context())
			for _, part := range []string{"one ", "two ", "three"} {
				if stream.Send(wrapperspb.String(part)) != nil {
					break // CloseAndReceive has the error
				}
			}
			resp, err := stream.CloseAndReceive()
			if err != nil {
				return "", err
			}
			return resp.Msg.Value, nil
		}
		const want = "789: one two three"
		if got, err := call(); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		f.fake.Revoke("789")
		if got, err := call(); connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("after the revocation: got %q, %v, want unauthenticated", got, err)
		}
		if got, err := call(); err != nil || got != want {
			t.Errorf("after that: got %q, %v, want %q", got, err, want)
		}
	})
}
