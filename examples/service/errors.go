package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/lookerauth/lookerauth"
)

// problem is what a customer is told. It says nothing of the cause that a customer has no use for.
type problem struct {
	status      int
	Title, Text string
}

var (
	unknown = problem{http.StatusForbidden, "Looker does not know you",
		"You have signed in, but there are no reports for you yet. Please ask us to set them up."}
	ours = problem{http.StatusInternalServerError, "Something is wrong on our side",
		"We have been told, and see to it."}
	busy = problem{http.StatusServiceUnavailable, "Too many people at once",
		"Please try again in a moment."}
	away = problem{http.StatusBadGateway, "Your reports cannot be reached",
		"Looker does not answer right now. Please try again in a few minutes."}
	late = problem{http.StatusGatewayTimeout, "This takes too long",
		"Looker has not answered in time. Please try again in a few minutes."}
)

// problemOf is what an error of Looker's SDK, or of lookerauth, is to a customer.
func problemOf(err error) problem {
	switch {
	case errors.Is(err, lookerauth.ErrUserNotFound),
		errors.Is(err, lookerauth.ErrInvalidIdentity):
		return unknown
	case errors.Is(err, lookerauth.ErrBadAPIKey), errors.Is(err, lookerauth.ErrForbidden),
		errors.Is(err, lookerauth.ErrNotLooker), errors.Is(err, lookerauth.ErrNoServiceAccount):
		return ours
	case errors.Is(err, lookerauth.ErrRateLimited), errors.Is(err, lookerauth.ErrClosed):
		return busy
	case errors.Is(err, context.DeadlineExceeded):
		return late
	}
	return away
}

// fail answers with what an error is to a customer, and logs the error itself.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == context.Canceled {
		return // nobody is there any more
	}
	p := problemOf(err)
	slog.WarnContext(r.Context(), "request failed", "path", r.URL.Path, "status", p.status,
		"customer", lookerauth.FromContext(r.Context()), "error", err)
	var failed *lookerauth.CallError
	if errors.As(err, &failed) && failed.RetryAfter > 0 {
		seconds := math.Ceil(failed.RetryAfter.Seconds())
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	if r.Method != http.MethodGet { // the page asks, and not the customer
		http.Error(w, p.Title+". "+p.Text, p.status)
		return
	}
	show(w, p.status, "problem", p)
}
