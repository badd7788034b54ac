// Package readme puts what programs here print into a file such as README.md.
package readme

import (
	"fmt"
	"os"
	"strings"
)

// Insert puts text into the file, in place of what is between the lines <!-- name --> and
// <!-- /name -->.
func Insert(path, name, text string) error {
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(file), begin)
	_, after, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		return fmt.Errorf("%s: the lines %q and %q are not there",
			path, strings.TrimSpace(begin), end)
	}
	return os.WriteFile(path, []byte(before+begin+text+end+after), 0o644)
}
