package guard_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lookerauth/lookerauth/internal/guard"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent")) // Go's own, on js
}

// The package of these tests, as in the names of functions.
const here = "github.com/lookerauth/lookerauth/internal/guard_test."

var errOurs = errors.New("ours")

func TestRunReturnsTheError(t *testing.T) {
	for _, want := range []error{nil, errOurs} {
		if got := <-guard.Run(func() error { return want }); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestRunWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		result := guard.Run(func() error {
			time.Sleep(time.Hour)
			return errOurs
		})
		if took := time.Since(begin); took != 0 {
			t.Errorf("Run took %v", took)
		}
		if err := <-result; err != errOurs || time.Since(begin) != time.Hour {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
}

// The bubble fails if a goroutine is blocked for ever at its end.
func TestResultNeedsNoReceiver(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		guard.Run(func() error { return errOurs })
		guard.Run(func() error { panic("oh") })
	})
}

func panicsInAFunction() error { panic(errors.New("hunter2")) }

type stringer struct{}

func (stringer) String() string { panic("it is not asked") }

func TestPanicIsAnErrorThatTellsItsPlaceAndNoSecret(t *testing.T) {
	var (
		noMap   map[string]int
		nothing *int
		list    []int
	)
	const test = "TestPanicIsAnErrorThatTellsItsPlaceAndNoSecret"
	for name, broken := range map[string]struct {
		f    func() error
		with string
		in   string
	}{
		"string":   {func() error { panic("hunter2") }, "a string", test},
		"error":    {panicsInAFunction, "a *errors.errorString", "panicsInAFunction"},
		"stringer": {func() error { panic(stringer{}) }, "a guard_test.stringer", test},
		"nil":      {func() error { panic(nil) }, "panic called with nil argument", test},
		"map": {func() error { noMap["hunter2"] = 1; return nil },
			"assignment to entry in nil map", test},
		"nil pointer": {func() error { *nothing = 1; return nil },
			"runtime error: invalid memory address or nil pointer dereference", test},
		"index": {func() error { list[7] = 1; return nil },
			"runtime error: index out of range [7] with length 0", test},
	} {
		t.Run(name, func(t *testing.T) {
			err := <-guard.Run(broken.f)
			want := "code given to this package panicked with " + broken.with + " in " +
				here + broken.in
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %v\nwant %s…", err, want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells the value: %v", err)
			}
		})
	}
}

func TestGoexitIsAnError(t *testing.T) {
	err := <-guard.Run(func() error {
		runtime.Goexit()
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "called runtime.Goexit") {
		t.Errorf("got %v", err)
	}
}

func TestRecoverEndsThePanickingFunctionAlone(t *testing.T) {
	begun, ended := false, false
	guard.Recover(func() {
		begun = true
		panic("oh")
	})
	guard.Recover(func() { ended = true })
	if !begun || !ended {
		t.Errorf("begun: %v; the next one ended: %v", begun, ended)
	}
}

func TestRecoverRunsInTheCallersGoroutine(t *testing.T) {
	done, reached := make(chan struct{}), false
	go func() {
		defer close(done)
		guard.Recover(runtime.Goexit)
		reached = true
	}()
	<-done
	if reached {
		t.Error("the caller's goroutine went on after runtime.Goexit")
	}
}

// evil says that it is the runtime's error, and panics when it is asked what it says.
type evil struct{}

func (evil) RuntimeError() {}

func (evil) Error() string { panic("hunter2") }

// spoilt is an error that panics when it is asked what it says, as a nil pointer of many a type.
type spoilt struct{ text string }

func (s *spoilt) Error() string { return s.text }

func TestErrorThatPanicsIsThatPanic(t *testing.T) {
	err := <-guard.Run(func() error {
		var none *spoilt
		return none
	})
	if err == nil || !strings.Contains(err.Error(), "nil pointer dereference") {
		t.Errorf("got %v", err)
	}
}

// hasty takes every error that it is compared with for one of its own type.
type hasty struct{ code int }

func (h *hasty) Error() string        { return "hasty" }
func (h *hasty) Is(target error) bool { return target.(*hasty).code == h.code }

// eager takes every target for one of its own type.
type eager struct{}

func (eager) Error() string      { return "eager" }
func (eager) As(target any) bool { *target.(**hasty) = nil; return true }

// untimely panics when it is asked whether it is a time-out.
type untimely struct{}

func (untimely) Error() string { return "untimely" }
func (untimely) Timeout() bool { panic("oh") }

func TestErrorThatPanicsWhenItIsComparedIsThatPanic(t *testing.T) {
	for method, broken := range map[string]error{
		"Is": &hasty{}, "As": eager{}, "Timeout": untimely{},
	} {
		for _, returned := range []error{broken, fmt.Errorf("wrapped: %w", broken)} {
			err := <-guard.Run(func() error { return returned })
			if err == nil || !strings.HasSuffix(err.Error(), "."+method) ||
				!strings.Contains(err.Error(), "panicked") {
				t.Errorf("%s: got %v", method, err)
			}
		}
	}
}

func TestNilErrorOfTheRuntimesIsAnError(t *testing.T) {
	err := <-guard.Run(func() error { panic((*runtime.TypeAssertionError)(nil)) })
	if err == nil || !strings.Contains(err.Error(), "*runtime.TypeAssertionError") {
		t.Errorf("got %v", err)
	}
}

func TestPanicWithAnErrorThatPanicsIsAnError(t *testing.T) {
	for _, value := range []any{evil{}, &evil{}} {
		err := <-guard.Run(func() error { panic(value) })
		what := fmt.Sprintf("panicked with a %T in ", value)
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v", err)
		}
	}
}
