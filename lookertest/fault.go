package lookertest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Fault is what a call meets instead of its usual answer. The zero Fault is none.
type Fault struct {
	// Delay is how long the [Server] waits, by its clock, before anything else: forever, if that is
	// a fake one that nobody moves. Without a Drop, a Status or a Body it then answers as usual. If
	// the caller gives up meanwhile, the call has no effect.
	Delay time.Duration

	// Drop closes the connection without an answer.
	Drop bool

	// Status is the status of the answer. If it is 300 or more and there is no Body, the answer
	// has one of Looker's errors. 0 stands for 200 if there is a Body, and else for the usual
	// answer.
	//
	// Another one below 200 or above 999 makes FailNext panic, or the call, whose connection then
	// is closed.
	//
	// An answer that is no such error needs a live token, and is a 401 without one. Only logins and
	// what else needs no token at Looker get it as it is.
	Status int

	// Header is added to the answer, be it the usual one: a Retry-After or a Location, say.
	Header http.Header

	// Body is the body of the answer, sent as it is: HTML, say, or half an object. Its Content-Type
	// is application/json if it is JSON, unless the Header says otherwise.
	Body string
}

// FailNext makes the next calls of this kind meet these faults: one call each, in this order. It
// takes the place of what FailNext said before of this kind; without faults there is none left. A
// zero Fault lets one call pass. FailNext panics if op is none of the constants.
//
// The library tries a login again that gets no answer, a 429 or a 5xx: three tries in all if a
// caller waits, with pauses by the clock. With a fake one see [WithClock].
func (s *Server) FailNext(op Op, faults ...Fault) {
	op.check()
	for _, fault := range faults {
		fault.check()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextFaults[op] = slices.Clone(faults)
}

// FailFunc has f decide for each call which fault it meets; the zero Fault is none. It takes the
// place of what FailFunc said before; a nil f ends it. What [Server.FailNext] says goes first: f
// does not get those calls.
//
// f gets the call as [Server.Requests] has it, may change that, and decides before the call has any
// effect. It may be called by several goroutines at once. It may use the Server, but for
// [Server.Close], which waits for f.
func (s *Server) FailFunc(f func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultFunc = f
}

// check panics if there is no answer with this status.
func (f Fault) check() {
	if f.Status != 0 && (f.Status < 200 || f.Status > 999) {
		panic(fmt.Sprintf("lookertest: Fault.Status is %d: use 200 to 999, or 0", f.Status))
	}
}

// isAnswer reports whether the fault takes the place of the usual answer.
func (f Fault) isAnswer() bool { return f.Status != 0 || f.Body != "" }

// isError reports whether the fault is answered with one of Looker's errors.
func (f Fault) isError() bool { return f.Status >= 300 && f.Body == "" }

// meet lets a login meet its fault, and reports whether that was the answer.
func (s *Server) meet(w http.ResponseWriter, r *http.Request, op Op, userID string) bool {
	_, fault := s.record(op, userID, r)
	s.begin(w, r, fault)
	if fault.isAnswer() {
		fault.answer(w, r)
	}
	return fault.isAnswer()
}

// begin lets a call meet what the fault does before the answer.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, fault Fault) {
	if fault.Delay > 0 && !s.wait(r, fault.Delay) || fault.Drop {
		panic(http.ErrAbortHandler)
	}
	for name, values := range fault.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
}

// answer answers with the fault.
func (f Fault) answer(w http.ResponseWriter, r *http.Request) {
	if f.isError() {
		refuse(w, r, f.Status, http.StatusText(f.Status))
		return
	}
	body := []byte(f.Body)
	if w.Header().Get("Content-Type") == "" && json.Valid(body) {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(cmp.Or(f.Status, http.StatusOK))
	_, _ = w.Write(body)
}

// wait waits for d, and reports whether the caller is still there.
func (s *Server) wait(r *http.Request, d time.Duration) bool {
	select {
	case <-s.clock.After(d):
		return true
	case <-r.Context().Done():
		return false
	case <-s.closed:
		return false
	}
}
