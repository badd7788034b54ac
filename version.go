package lookerauth

import (
	"runtime/debug"
	"strings"
	"sync"
)

// version is that of this module in the program that runs, without the v; "devel" if it was built
// from a folder.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return devel
	}
	for _, dep := range info.Deps {
		if dep.Path != modulePath {
			continue
		}
		if dep.Replace != nil {
			dep = dep.Replace
		}
		if number, ok := strings.CutPrefix(dep.Version, "v"); ok {
			return number
		}
	}
	return devel
})

const (
	modulePath = "github.com/lookerauth/lookerauth"
	devel      = "devel"
)
