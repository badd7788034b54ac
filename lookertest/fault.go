package lookertest

import (
	"net/http"
	"time"
)

// Fault is what a call meets instead of its proper answer. The zero Fault is none.
type Fault struct {
	// Delay is how long the Server waits, by its clock, before anything else. Without a Drop, a Status or a Body the call is then
	// served as usual. It ends early if the caller gives up; the call then has no effect.
	Delay time.Duration

	// Drop closes the connection without an answer.
	Drop bool

	// Status answers with this status. Without a Body it comes with one of Looker's errors.
	Status int

	// Header is added to the answer, a Retry-After or a Location, say.
	Header http.Header

	// Body is the body of the answer as it is, garbage if need be. Without a Status it comes with 200.
	Body string
}

// plannedFault is a Fault for the next n calls; for every call if n is negative.
type plannedFault struct {
	n     int
	fault Fault
}

// Fail makes the next n calls of this kind meet the fault, in place of what was said before for this kind. A negative n stands
// for every call, 0 ends it.
func (s *Server) Fail(op Op, n int, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[op] = &plannedFault{n, fault}
}

// FailFunc has f decide for each call which fault it meets; nil for none. What Fail says goes first. f may be called from
// several goroutines at once. A nil f ends it.
func (s *Server) FailFunc(f func(Call) *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultFunc = f
}

// count counts the call, and returns the fault that it is to meet; nil if there is none.
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
