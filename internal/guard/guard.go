// Package guard runs code of the user's, which may panic, call runtime.Goexit, or hang past its
// context. Nothing that it does reaches whoever waits for it, but as an error.
package guard

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
)

// Run runs f in a goroutine of its own. The channel gets f's error, or the one that stands for
// its panic or runtime.Goexit. It has room for that, so nobody needs to receive it.
func Run(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() {
		err := errors.New("code given to this package called runtime.Goexit, as t.FailNow does")
		defer func() {
			if r := recover(); r != nil {
				err = panicError(r)
			}
			result <- err
		}()
		if err = f(); err != nil {
			ask(err)
		}
	}()
	return result
}

// nobodys is an error that no other one is.
type nobodys struct{ error }

// ask asks an error of the user's what errors are asked. One that panics then is that panic, which
// nobody else could recover: a nil pointer that is asked for its text, or a method Is that takes
// every target for its own type.
func ask(err error) {
	_ = err.Error()
	_ = errors.Is(err, nobodys{})
	_ = errors.As(err, new(nobodys))
	var late interface{ Timeout() bool }
	if errors.As(err, &late) {
		late.Timeout()
	}
}

// Recover runs f in the caller's goroutine. A panic in it ends f alone.
func Recover(f func()) {
	defer func() { _ = recover() }()
	f()
}

// panicError says in which function code of the user's panicked. It tells the value only if that
// is the runtime's own: another one may hold a secret, or panic when it is asked for its text.
func panicError(value any) error {
	what := fmt.Sprintf("a %T", value)
	if err, ok := value.(runtime.Error); ok && isRuntimes(reflect.TypeOf(value)) {
		Recover(func() { what = err.Error() }) // a nil pointer of the runtime's panics, too
	}
	return fmt.Errorf("code given to this package panicked with %s in %s", what, panicked())
}

func isRuntimes(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "runtime"
}

// panicked is the name of the function that panicked. It is called while that is on the stack.
func panicked() string {
	pcs := make([]uintptr, 16)
	// Above it are Callers, this function, panicError, the deferred one, and the runtime.
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs)])
	for {
		frame, more := frames.Next()
		if !more || !strings.HasPrefix(frame.Function, "runtime.") {
			return frame.Function
		}
	}
}
