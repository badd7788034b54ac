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
		"..%20", "%20..", ".%2520", "..%20;x", "..%c2%a0", "..%e3%80%80", // white space
		"..%00", "..%00x", ".%09.", "..%0d%0a", "%09..", ".%7f.", "..%2500", "..%c2%85",
		"%c0%ae", "%c0%ae%c0%AE", ".%c0%2e", "%c0%6e.", "%e0%80%ae.", "%f0%80%80%ae", // too long
		"%f8%80%80%80%ae", "%fc%80%80%80%80%ae", "%25c0%25ae", "..%a0", "..%85",
		"%ef%bc%8e", "．．", "․.", "‥", "﹒", ".．", "..；x", "..？", "..＃", "％2e", "%ef%bc%852e.",
		"%25u002e%25u002E", "%U002e.", "%uff0e", "%25UFF0E",
	} {
		for _, slash := range []string{
			"/", `\`, "%2f", "%2F", "%5c", "%5C", "%252f", "%25255c", "／", "＼", "∕", "⁄", "﹨",
			"%ef%bc%8f", "%c0%af", "%C1%9c", "%e0%80%af", "%25u002f", "%u005c",
		} {
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
		"/a%2eb", "/a%2fb", `/a\b`, "/ä", "/%c3%a4", "/%F0%9F%91%A9%E2%80%8D%F0%9F%9A%80",
		"/%20/", "/a%20b/", "/.%20.", "/%20.a", "/a%C2%A0b", "/…", "/a．b", "/a／b",
		"/100%25", "/100%25%20sure", "/100%25unique", "/a%252Fb", "/a%25252Fb", "/%25%25%25",
	} {
		if origin.HasDotSegment(p) {
			t.Errorf("%q has one", p)
		}
	}
}

func TestWhatIsEncodedTooOftenMayHaveADotSegment(t *testing.T) {
	for times, want := range map[int]bool{1: false, 4: false, 5: true, 6: true, 1000: true} {
		if got := origin.HasDotSegment("/%" + strings.Repeat("25", times-1) + "41"); got != want {
			t.Errorf("encoded %d times: %v, want %v", times, got, want)
		}
	}
}

// The work grows no faster than the path, however often that is encoded: or this would not end.
func TestPathThatIsEncodedOverAndOverIsNoWork(t *testing.T) {
	const size = 1 << 20
	for _, code := range []string{"25", "%25", "%2525", "%%32%35", "%2e", "%ef%bc%85", "/.%20."} {
		p := "/%" + strings.Repeat(code, size/len(code)) + "2e"
		allocs := testing.AllocsPerRun(1, func() { origin.HasDotSegment(p) })
		if allocs > 50 {
			t.Errorf("%s over and over: %v allocations", code, allocs)
		}
	}
}

func TestOrdinaryPathIsCheckedWithoutAnAllocation(t *testing.T) {
	check := func() { origin.HasDotSegment("/api/4.0/looks/1/run/json") }
	if allocs := testing.AllocsPerRun(100, check); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// FuzzHasDotSegment asks servers of many kinds whether they are led elsewhere. Each decodes as
// often as it likes, reads what it has by some rules of its own, and leaves the rest to
// [path.Clean]. A path without a dot segment leads none of them elsewhere. One of letters, digits
// and slashes has no dot segment, however they are encoded.
func FuzzHasDotSegment(f *testing.F) {
	for _, p := range []string{
		"/a/../b", "/%2e%2e/", "/%252e%252E/x", `/a%5c..\b`, "/..;x/", "/a;..", "/..%253bx%2f.",
		"/%25zz%252e%252e/%2%65%", "%2%65", "/..%3fx", "/a/.%2523/..", "/...", "//a//",
		"/\xff/%c0%ae%c0%ae/", "/.%00./", "/.%09.", "/..%20", "/%e0%80%ae/%c1%9c", "/a／．．",
	} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		readings := decodings(p)
		for _, read := range []func(string) string{
			shortened, withSlashes, withoutControls, untilANull, withoutParameters, untilAQuery,
			withoutSpaces,
		} {
			for _, reading := range slices.Clone(readings) {
				readings = append(readings, read(reading))
			}
			slices.Sort(readings)
			readings = slices.Compact(readings)
		}
		got := origin.HasDotSegment(p)
		if i := slices.IndexFunc(readings, isLedElsewhere); i >= 0 && !got {
			t.Errorf("%q has no dot segment, and may be read as %q", p, readings[i])
		}
		all := decodings(p)
		if got && len(all) <= 5 && strings.Trim(strings.ToLower(all[len(all)-1]), plain) == "" {
			t.Errorf("%q has a dot segment", p)
		}
	})
}

const plain = "abcdefghijklmnopqrstuvwxyz0123456789/"

// decodings are p, p decoded once, twice, and so on, as far as a server might go.
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
		if string(decoded) == p || len(all) == 8 {
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

// withSlashes takes backslashes for slashes.
func withSlashes(p string) string { return strings.NewReplacer(`\`, "/", "＼", "/").Replace(p) }

// withoutControls leaves control characters of ASCII out.
func withoutControls(p string) string {
	return strings.Map(func(char rune) rune {
		if char < ' ' || char == '\x7f' {
			return -1
		}
		return char
	}, p)
}

// untilANull leaves what stands before the first byte that is zero.
func untilANull(p string) string { return p[:strings.IndexByte(p+"\x00", 0)] }

// withoutSpaces leaves of each segment what is between its spaces.
func withoutSpaces(p string) string {
	segments := strings.Split(p, "/")
	for i, segment := range segments {
		segments[i] = strings.TrimSpace(segment)
	}
	return strings.Join(segments, "/")
}

// shortened decodes characters in two and three bytes as if there were no shorter form, and takes
// those of full width for those of ASCII.
func shortened(p string) string {
	var short []rune
	for i := 0; i < len(p); i++ {
		char := rune(p[i])
		switch {
		case char&0xe0 == 0xc0 && i+1 < len(p):
			char = char&0x1f<<6 | rune(p[i+1])&0x3f
			i++
		case char&0xf0 == 0xe0 && i+2 < len(p):
			char = char&0x0f<<12 | rune(p[i+1])&0x3f<<6 | rune(p[i+2])&0x3f
			i += 2
		}
		if char > 0xff00 && char < 0xff5f {
			char -= 0xff00 - ' '
		}
		short = append(short, char)
	}
	return string(short)
}

// isLedElsewhere reports whether the path means another one than its segments say.
func isLedElsewhere(p string) bool {
	segments := func(p string) []string {
		return slices.DeleteFunc(strings.Split(p, "/"), func(s string) bool { return s == "" })
	}
	return !slices.Equal(segments(p), segments(path.Clean("/"+p)))
}
