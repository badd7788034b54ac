package lookertest

import (
	"net/http"
	"time"
)

// Fault is what a call meets instead of its usual answer. The zero Fault is none.
type Fault struct {
	// Delay is how long the [Server] waits, by its clock, before anything else. Without a Drop, a
	// Status or a Body it then answers as usual. If the caller gives up meanwhile, the call has no
	// effect.
	Delay time.Duration

	// Drop closes the connection without an answer.
	Drop bool

	// Status is the status of the answer. If it is 300 or more and there is no Body, the answer
	// has one of Looker's errors. 0 stands for 200 if there is a Body, and else for the usual
	// answer.
	Status int

	// Header is added to the answer, be it the usual one: a Retry-After or a Location, say.
	Header http.Header

	// Body is the body of the answer, sent as it is: HTML, say, or half an object.
	Body string
}

// plannedFault is a Fault for the next n calls; for every call if n is negative.
type plannedFault struct {
	n     int
	fault Fault
}

// Fail makes the next n calls of this kind meet the fault. A negative n stands for every call, 0
// for none. It takes the place of what Fail said before of this kind.
func (s *Server) Fail(op Op, n int, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[op] = &plannedFault{n, fault}
}

// FailFunc has f decide for each call which fault it meets; nil stands for none. Calls that meet a
// fault of [Server.Fail] are not passed to f. f may be called by several goroutines at once, and
// may use the Server. A nil f ends it.
func (s *Server) FailFunc(f func(Call) *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultFunc = f
}

// count counts the call, and returns the fault that it will meet; nil if there is none.
func (s *Server) count(call Call) *Fault {
	s.mu.Lock()
	s.calls[call]++
	planned, faultFunc := s.faults[call.Op], s.faultFunc
	if planned != nil && planned.n != 0 {
		planned.n--
		fault := planned.fault
		s.mu.Unlock()
		return &fault
	}
	s.mu.Unlock()
	if faultFunc == nil {
		return nil
	}
	return faultFunc(call)
}

// meet lets the call meet the fault, and reports whether that was the answer.
func (s *Server) meet(w http.ResponseWriter, r *http.Request, fault *Fault) (answered bool) {
	if fault == nil {
		return false
	}
	if fault.Delay > 0 && !s.wait(r, fault.Delay) || fault.Drop {
		panic(http.ErrAbortHandler)
	}
	for name, values := range fault.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	if fault.Status == 0 && fault.Body == "" {
		return false
	}
	status := fault.Status
	if status == 0 {
		status = http.StatusOK
	}
	if fault.Body == "" && status >= 300 {
		refuse(w, status, http.StatusText(status))
		return true
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(fault.Body))
	return true
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
