package looker

import (
	"context"
	"net/http/httptrace"
)

// WithoutTrace returns ctx without its [httptrace.ClientTrace]: that is for the request of whoever
// waits, and would see the headers of ours, and get informational responses to them.
func WithoutTrace(ctx context.Context) context.Context {
	if httptrace.ContextClientTrace(ctx) == nil {
		return ctx
	}
	// net/http has hooks of the dialer apart, in a type that it does not export. A trace that has
	// one takes their place.
	nothing := &httptrace.ClientTrace{ConnectStart: func(string, string) {}}
	return httptrace.WithClientTrace(untraced{ctx}, nothing)
}

// untraced is a context that has no trace.
type untraced struct{ context.Context }

func (c untraced) Value(key any) any {
	value := c.Context.Value(key)
	if _, ok := value.(*httptrace.ClientTrace); ok {
		return nil
	}
	return value
}
