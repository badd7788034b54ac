package integration

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/go-openapi/runtime"
	httptransport "github.com/go-openapi/runtime/client"
	"github.com/go-openapi/strfmt"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// createQuery is an operation as go-swagger generates them: a POST with a body in JSON.
func createQuery() *runtime.ClientOperation {
	write := func(req runtime.ClientRequest, _ strfmt.Registry) error {
		return req.SetBodyParam(map[string]string{"model": "m"})
	}
	read := func(resp runtime.ClientResponse, consumer runtime.Consumer) (any, error) {
		if resp.Code() != http.StatusOK {
			return nil, runtime.NewAPIError("create_query", resp.Message(), resp.Code())
		}
		var result answer
		err := consumer.Consume(resp.Body(), &result)
		return result, err
	}
	return &runtime.ClientOperation{
		ID:                 "create_query",
		Method:             http.MethodPost,
		PathPattern:        "/queries",
		ProducesMediaTypes: []string{runtime.JSONMime},
		ConsumesMediaTypes: []string{runtime.JSONMime},
		Schemes:            []string{"http"},
		Params:             runtime.ClientRequestWriterFunc(write),
		Reader:             runtime.ClientResponseReaderFunc(read),
	}
}

// checkOperation fails the test if the operation was not the user's.
func checkOperation(t *testing.T, result any, err error, userID string) {
	t.Helper()
	want := answer{UserID: userID, Body: `{"model":"m"}` + "\n"}
	if err != nil || result != want {
		t.Errorf("Looker saw %+v, want %+v (%v)", result, want, err)
	}
}

func TestSwaggerClientActsAsAUser(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	base, err := url.Parse(fake.URL)
	if err != nil {
		t.Fatal(err)
	}

	client := cache.User("789").Client()
	transport := httptransport.NewWithClient(base.Host, "/api/4.0", []string{base.Scheme}, client)
	result, err := transport.Submit(createQuery())

	checkOperation(t, result, err, "789")
}

func TestSwaggerClientActsAsTheUserOfEachOperation(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	transport := swaggerTransport(t, fake, &http.Client{Transport: cache.Transport(nil)})

	for _, userID := range []string{"789", "790"} {
		ctx := lookerauth.WithUser(t.Context(), userID)
		result, err := transport.SubmitContext(ctx, createQuery())
		checkOperation(t, result, err, userID)
	}
}

func TestSwaggerOperationIsSentAgainAfterARevocation(t *testing.T) {
	fake := startFake(t, nil)
	cache := newCache(t, fake.Config())
	transport := swaggerTransport(t, fake, cache.User("789").Client())
	result, err := transport.SubmitContext(t.Context(), createQuery())
	checkOperation(t, result, err, "789")

	fake.Revoke("789")
	result, err = transport.SubmitContext(t.Context(), createQuery())

	checkOperation(t, result, err, "789")
	checkReplays(t, cache, 1)
	checkLogins(t, fake, 2)
}

// swaggerTransport is what a generated client is made of.
func swaggerTransport(
	t *testing.T, fake *lookertest.Server, client *http.Client,
) *httptransport.Runtime {
	t.Helper()
	base, err := url.Parse(fake.URL)
	if err != nil {
		t.Fatal(err)
	}
	return httptransport.NewWithClient(base.Host, "/api/4.0", []string{base.Scheme}, client)
}
