package origin

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxEncodings is how many times over a path may be encoded. Nobody who means well goes near it,
// and it bounds the work.
const maxEncodings = 4

// HasDotSegment reports whether a path as on the wire has, or could have, a segment that leads up,
// or stays, for any server or proxy on the way. Those differ in how often they decode, what they
// take for a slash or a dot, and what they cut off. Where that is hard to tell it reports true: for
// what is encoded too often, and for what may decode to a control character or is not UTF-8.
func HasDotSegment(escaped string) bool {
	path := strings.Map(fold, escaped)
	for encodings := 0; ; encodings++ {
		decoded := strings.Map(fold, decode(path))
		if decoded == path {
			break
		}
		if encodings == maxEncodings {
			return true
		}
		path = decoded
	}
	if strings.ContainsFunc(path, isObscure) || unicodeEscape.MatchString(path) {
		return true
	}
	for segment := range strings.SplitSeq(path, "/") {
		if end := strings.IndexAny(segment, ";?#"); end >= 0 {
			segment = segment[:end]
		}
		segment = strings.TrimSpace(segment)
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// fold returns what some servers take a character for.
func fold(char rune) rune {
	switch char {
	case '\\', '／', '＼', '﹨', '∕', '⁄':
		return '/'
	case '．', '․', '‥', '﹒':
		return '.'
	case '；', '﹔', '\u037e':
		return ';'
	case '？', '﹖':
		return '?'
	case '＃', '﹟':
		return '#'
	case '％', '﹪':
		return '%'
	}
	return char
}

// isObscure reports whether servers disagree about a character: some cut a path off at it, leave it
// out, or take bytes that are not UTF-8 for a dot or a slash in a form that is too long.
func isObscure(char rune) bool { return unicode.IsControl(char) || char == utf8.RuneError }

// unicodeEscape is how some servers write a character of ASCII, or one that is folded to it.
var unicodeEscape = regexp.MustCompile(`%[uU](00|[fF][fF])`)

// decode decodes what is percent-encoded, once, and leaves a stray percent sign as it is.
func decode(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	decoded := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
			decoded = append(decoded, unhex(path[i+1])<<4|unhex(path[i+2]))
			i += 2
		} else {
			decoded = append(decoded, path[i])
		}
	}
	return string(decoded)
}

func isHex(char byte) bool { return strings.IndexByte("0123456789ABCDEFabcdef", char) >= 0 }

// unhex is the value of a hexadecimal digit.
func unhex(digit byte) byte {
	if digit <= '9' {
		return digit - '0'
	}
	return digit&^0x20 - 'A' + 10
}
