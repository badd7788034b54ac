package looker

import (
	"hash/maphash"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Secrets are the keys and tokens that no text may tell. There may be a million of them: of each it
// keeps a hash, and when it ends. It is safe for concurrent use.
type Secrets struct {
	seed maphash.Seed

	mu      sync.Mutex // guards what is below
	known   map[uint64]secret
	lengths []int // of the known ones, ascending, each once
	swept   time.Time
	limit   int // of known, before those that have ended are swept
}

// secret is what is known of one besides its hash.
type secret struct {
	ends   int32 // minutes since 1970
	length uint32
}

// NewSecrets returns Secrets without any.
func NewSecrets() *Secrets {
	return &Secrets{seed: maphash.MakeSeed(), known: make(map[uint64]secret)}
}

const (
	// minSecret is how many bytes a secret has at least. A shorter one, such as a client id of one
	// letter, is not looked for: it is in every text, and hides nothing.
	minSecret = 4

	sweepInterval = time.Hour // between two sweeps, at most, if secrets are added at all
	minLimit      = 64

	// maxWork is how many pieces of a text and of what it decodes to are looked up at most: one for
	// each byte and each length that a secret has.
	maxWork = 1 << 19

	// unsearched stands for a text that goes beyond: what nobody has searched is not shown.
	unsearched = "[a text that is too long, or encoded too often, to be searched for secrets]"

	hole = "\xff" // a secret that was found, in a text being searched; no decoding changes it
)

// Add makes s a secret until it ends, or for a while longer.
func (x *Secrets) Add(s string, ends, now time.Time) {
	if len(s) < minSecret {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.known) >= x.limit || now.Sub(x.swept) >= sweepInterval {
		x.sweep(now)
	}
	hash := maphash.String(x.seed, s)
	x.known[hash] = secret{max(minutes(ends)+1, x.known[hash].ends), uint32(len(s))}
	if i, found := slices.BinarySearch(x.lengths, len(s)); !found {
		x.lengths = slices.Insert(x.lengths, i, len(s))
	}
}

// sweep leaves those that have not ended, in a new map, as a map never shrinks. It is called when
// there are twice as many as it last left, so that adding one costs the same however many there
// are; and once an hour, so that a peak is over at some time.
func (x *Secrets) sweep(now time.Time) {
	left := make(map[uint64]secret)
	lengths := make(map[int]bool)
	for hash, s := range x.known {
		if s.ends >= minutes(now) {
			left[hash], lengths[int(s.length)] = s, true
		}
	}
	x.known, x.swept, x.limit = left, now, max(minLimit, 2*len(left))
	x.lengths = slices.DeleteFunc(x.lengths, func(n int) bool { return !lengths[n] })
}

func minutes(t time.Time) int32 { return int32(t.Unix() / 60) }

// Len returns how many are kept.
func (x *Secrets) Len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.known)
}

// Scrub returns the text with every secret replaced: as it is, and as JSON, %q, HTML, URLs and
// forms write it, one within the other. A text with a secret that was encoded is returned decoded.
func (x *Secrets) Scrub(text string) string {
	scrubbed, work := text, maxWork
	seen := make(map[string]bool)
	for next := []string{text}; len(next) > 0; next = next[1:] {
		masked := x.mask(next[0], &work)
		if work < 0 {
			return unsearched
		}
		if masked != next[0] {
			scrubbed = strings.ReplaceAll(masked, hole, "[secret]")
			next = []string{masked} // where the search goes on
		}
		seen[masked] = true
		for _, decode := range decoders {
			if decoded := decode(masked); !seen[decoded] {
				seen[decoded] = true
				next = append(next, decoded)
			}
		}
	}
	return scrubbed
}

// mask returns the text with holes for the secrets that are in it as they are; those that overlap
// have one. It takes what it does off the work that may be done, and stops if that is too much.
func (x *Secrets) mask(text string, work *int) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if *work -= len(text) * max(len(x.lengths), 1); *work < 0 {
		return text
	}
	var b strings.Builder
	end := 0 // of the last secret, or of the one that reaches farthest of those that overlap
	for start := range len(text) {
		for _, length := range x.lengths {
			if start+length > len(text) {
				break
			}
			window := text[start : start+length]
			if _, found := x.known[maphash.String(x.seed, window)]; !found {
				continue
			}
			if start >= end {
				b.WriteString(text[end:start] + hole)
			}
			end = max(end, start+length)
		}
	}
	return b.String() + text[end:]
}

// decoders undo one level of encoding each, wherever there is something to undo. The order in which
// a text was encoded is unknown, and a secret may look like encoded itself.
var decoders = []func(string) string{
	html.UnescapeString,
	unescapePath,
	func(s string) string { return unescapePath(strings.ReplaceAll(s, "+", " ")) }, // a form
	unquote,
}

var (
	percent   = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	backslash = regexp.MustCompile(
		`(?s)\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|[0-7]{3}|.)`)
)

func unescapePath(s string) string {
	return percent.ReplaceAllStringFunc(s, func(escape string) string {
		b, _ := strconv.ParseUint(escape[1:], 16, 8)
		return string([]byte{byte(b)})
	})
}

// unquote undoes JSON and %q.
func unquote(s string) string {
	return backslash.ReplaceAllStringFunc(s, func(escape string) string {
		r, multibyte, _, err := strconv.UnquoteChar(escape, '"')
		switch {
		case err != nil: // JSON's \/ for one
			return escape[1:]
		case multibyte:
			return string(r)
		}
		return string([]byte{byte(r)})
	})
}
