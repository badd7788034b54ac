package origin_test

import (
	"encoding/hex"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth/internal/origin"
)

func TestDotSegmentIsSeenInEveryDisguise(t *testing.T) {
	for _, segment := range []string{
		".", "..",
		"%2e", "%2E%2e", ".%2e", "%2E.",
		"%252e.", "%25252e%25252e", "%25%32%65.", // encoded again, and again
		"%2%65.", "%%32e.", // what it takes to decode comes out of decoding
		".;", "..;", "..;x=y", "..%3b", "..%253Bx", "..;..;..", "%2e%2e%3B",
		"..%3fx", "..%3F", ".%253f", "..%23x", "..%2523", "..;%3f", "..%3f;#",
	} {
		for _, slash := range []string{"/", `\`, "%2f", "%2F", "%5c", "%5C", "%252f", "%25255c"} {
			for _, p := range []string{
				segment,
				slash + segment,
				segment + slash,
				"a" + slash + segment + slash + "b",
				"a;x" + slash + segment,
				slash + slash + segment,
			} {
				if !origin.HasDotSegment(p) {
					t.Errorf("%q has none", p)
				}
			}
		}
	}
}

func TestDotsWithinASegmentAreNoDotSegment(t *testing.T) {
	for _, p := range []string{
		"", "/", "//", "/a/b", "...", "/.../", "/..a/", "/a../", "/.a", "/a.", "/a.b/",
		"/a;..", "/a;.", "/;../", "/a%3b..", // parameters of a segment
		"/a%3f..", "/%3f../", "/a%23..", "/%23.",
		"/%", "/%2", "/%2/e", "/%zz", "/%25", "/%252", "/%2g", "/%2%2e", "/%2e%2e%2e",
		"/a%2eb", "/a%2fb", `/a\b`, "/ä", "/%c3%a4", "/\xff", "/%ff",
	} {
		if origin.HasDotSegment(p) {
			t.Errorf("%q has one", p)
		}
	}
}

// FuzzHasDotSegment asks servers of many kinds whether they are led elsewhere. Each decodes as
// often as it likes, then takes a backslash for a slash or not, cuts parameters off or not, ends
// the path at a question mark or a hash or not, and leaves the rest to [path.Clean]. A path without
// a dot segment leads none of them elsewhere. One that has one leads one of them elsewhere.
func FuzzHasDotSegment(f *testing.F) {
	for _, p := range []string{
		"/a/../b", "/%2e%2e/", "/%252e%252E/x", `/a%5c..\b`, "/..;x/", "/a;..", "/..%253bx%2f.",
		"/%25zz%252e%252e/%2%65%", "%2%65", "/..%3fx", "/a/.%2523/..", "/...", "//a//",
		"/\xff/%c0%ae%c0%ae/", "/.%00./",
	} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		readings := decodings(p)
		decoded := readings[len(readings)-1]
		for _, read := range []func(string) string{
			func(p string) string { return strings.ReplaceAll(p, `\`, "/") },
			withoutParameters,
			untilAQuery,
		} {
			for _, reading := range slices.Clone(readings) {
				readings = append(readings, read(reading))
			}
		}
		led := slices.ContainsFunc(readings, isLedElsewhere)
		got := origin.HasDotSegment(p)
		if got && strings.ContainsAny(decoded, "?#") {
			return // it may be careful with what follows a query
		}
		if got != led {
			t.Errorf("%q has a dot segment: %v; it leads a server elsewhere: %v", p, got, led)
		}
	})
}

// decodings are p, p decoded once, twice, and so on.
func decodings(p string) []string {
	all := []string{p}
	for {
		var decoded []byte
		for i := 0; i < len(p); i++ {
			if p[i] == '%' && i+3 <= len(p) {
				if char, err := hex.DecodeString(p[i+1 : i+3]); err == nil {
					decoded = append(decoded, char...)
					i += 2
					continue
				}
			}
			decoded = append(decoded, p[i])
		}
		if string(decoded) == p {
			return all
		}
		p = string(decoded)
		all = append(all, p)
	}
}

// withoutParameters leaves of each segment what stands before a semicolon.
func withoutParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, segment := range segments {
		segments[i] = strings.Split(segment, ";")[0]
	}
	return strings.Join(segments, "/")
}

// untilAQuery leaves what stands before a question mark or a hash.
func untilAQuery(p string) string { return p[:strings.IndexAny(p+"?", "?#")] }

// isLedElsewhere reports whether the path means another one than its segments say.
func isLedElsewhere(p string) bool {
	segments := func(p string) []string {
		return slices.DeleteFunc(strings.Split(p, "/"), func(s string) bool { return s == "" })
	}
	return !slices.Equal(segments(p), segments(path.Clean("/"+p)))
}
