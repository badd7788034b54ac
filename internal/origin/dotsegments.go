package origin

import (
	"regexp"
	"strconv"
	"strings"
)

var percentEncoded = regexp.MustCompile("%[0-9A-Fa-f]{2}")

// HasDotSegment reports whether a path as on the wire has a segment that leads up, or stays, for
// any server or proxy on the way: those differ in how often they decode, take a backslash for a
// slash, and cut off parameters, or what they then take for a query or a fragment.
func HasDotSegment(escaped string) bool {
	for decoded := ""; decoded != escaped; {
		decoded = escaped
		escaped = percentEncoded.ReplaceAllStringFunc(decoded, func(code string) string {
			char, _ := strconv.ParseUint(code[1:], 16, 8) // two hexadecimal digits
			return string([]byte{byte(char)})
		})
	}
	for segment := range strings.SplitSeq(strings.ReplaceAll(escaped, `\`, "/"), "/") {
		if end := strings.IndexAny(segment, ";?#"); end >= 0 {
			segment = segment[:end]
		}
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
