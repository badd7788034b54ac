package bench

import (
	"flag"
	"fmt"
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// TestMain puts what the table says of the machine into the output of benchmarks, beside what the testing package does.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() != "" {
		fmt.Printf("go: %s\ncores: %d\n", runtime.Version(), runtime.NumCPU())
	}
	goleak.VerifyTestMain(m)
}
