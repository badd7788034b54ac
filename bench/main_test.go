package bench

import (
	"flag"
	"fmt"
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// TestMain puts what the table says of the machine into the output of benchmarks, beside what the
// testing package does.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() != "" {
		fmt.Printf("go: %s\ncores: %d\n", runtime.Version(), runtime.NumCPU())
	}
	goleak.VerifyTestMain(m,
		// What cleans up after these two cannot be stopped, or goes on as long as its cache.
		goleak.IgnoreAnyFunction("github.com/hashicorp/golang-lru/v2/expirable.NewLRU[...].func1"),
		goleak.IgnoreAnyFunction("github.com/maypok86/otter/v2.periodicCleanUp[...]"),
	)
}
