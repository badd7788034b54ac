package looker_test

import (
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/internal/looker"
)

// secretsWith returns Secrets that have these, and last for an hour.
func secretsWith(all ...string) *looker.Secrets {
	secrets := looker.NewSecrets()
	for _, s := range all {
		secrets.Add(s, start.Add(time.Hour), start)
	}
	return secrets
}

// encodings are what others may do to a text before it gets into a message.
var encodings = []struct {
	name   string
	encode func(string) string
}{
	{"JSON", func(s string) string {
		text, _ := json.Marshal(s)
		return string(text)
	}},
	{"JSON with \\/", func(s string) string {
		text, _ := json.Marshal(s)
		return strings.ReplaceAll(string(text), "/", `\/`)
	}},
	{"JSON with \\u", func(s string) string {
		var b strings.Builder
		for _, r := range s {
			fmt.Fprintf(&b, `\u%04X`, r)
		}
		return b.String()
	}},
	{"%q", func(s string) string { return fmt.Sprintf("%q", s) }},
	{"%+q", func(s string) string { return fmt.Sprintf("%+q", s) }},
	{"octal", func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, `\%03o`, s[i])
		}
		return b.String()
	}},
	{"\\x", func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		}
		return b.String()
	}},
	{"HTML", html.EscapeString},
	{"HTML by number", func(s string) string {
		return strings.NewReplacer("+", "&#43;", "/", "&#x2F;", "&", "&#038;").Replace(s)
	}},
	{"HTML by name", func(s string) string {
		return strings.NewReplacer("+", "&plus;", "/", "&sol;", "&", "&amp;").Replace(s)
	}},
	{"form", url.QueryEscape},
	{"form in lower case", func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, "%%%02x", s[i])
		}
		return b.String()
	}},
	{"path", url.PathEscape},
}

func TestSecretIsFoundInEveryEncoding(t *testing.T) {
	for _, secret := range []string{
		"9p4QxDk7", `a+b/c&d"e\f%g h`, "ü&é/ß+", "{%2F%2f}", `\u0041\n`, "&amp;&#43;", "a%%3441b",
		`\\&+\"`, "%252525", `100%\`,
	} {
		secrets := secretsWith(secret)
		for _, inner := range encodings {
			for _, outer := range encodings {
				text := outer.encode("<1> " + inner.encode("[2] "+secret+" [3]") + " <4>")
				got := secrets.Scrub(text)
				if !strings.Contains(got, "[secret]") {
					t.Errorf("%q, %s in %s: %q became %q",
						secret, inner.name, outer.name, text, got)
				}
			}
		}
	}
}

// A secret of any characters is found within any others, encoded up to three times in any way.
func TestAnySecretIsFound(t *testing.T) {
	const seed = 1
	random := rand.New(rand.NewPCG(seed, seed))
	alphabet := []string{
		"a", "b", "n", "x", "u", "U", "0", "4", "1", "2", "5", "F", "l", "t", "m", "p", "#", ";",
		":", "+", "/", "&", `"`, `\`, "%", " ", "<", "'", "ü",
	}
	word := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		return b.String()
	}
	for range 1000 {
		secret := word(4 + random.IntN(12))
		text := word(random.IntN(4)) + " " + secret + " " + word(random.IntN(4))
		var how []string
		for range random.IntN(4) {
			encoding := encodings[random.IntN(len(encodings))]
			text, how = encoding.encode(text), append(how, encoding.name)
		}
		got := secretsWith(secret).Scrub(text)
		if !strings.Contains(got, "[secret]") || strings.Contains(got, secret) {
			t.Fatalf("%q as %q: %q became %q", secret, how, text, got)
		}
	}
}

func TestScrub(t *testing.T) {
	for _, test := range []struct {
		secrets    []string
		text, want string
	}{
		{nil, "", ""},
		{nil, "no secret", "no secret"},
		{[]string{"hunter2"}, "", ""},
		{[]string{"hunter2"}, "hunter", "hunter"},
		{[]string{"hunter2"}, "hunter2", "[secret]"},
		{[]string{"hunter2"}, "hunter2hunter2", "[secret][secret]"},
		{[]string{"hunter2"}, "1 hunter2 2 hunter2 3", "1 [secret] 2 [secret] 3"},

		// Those that overlap, or hold others.
		{[]string{"hunter2", "hunter22"}, "1 hunter22 2 hunter2", "1 [secret] 2 [secret]"},
		{[]string{"abcde", "defgh"}, "-abcdefgh-", "-[secret]-"},
		{[]string{"abcdefgh", "cdef"}, "-abcdefgh-cdef-", "-[secret]-[secret]-"},
		{[]string{"aaaa"}, "aaaaaa", "[secret]"},
		{[]string{"secret"}, "the secret", "the [secret]"}, // which is not searched again

		// Only what is in a text with a secret is decoded.
		{[]string{"hunter2"}, "100%25 + 1 &amp; \\n", "100%25 + 1 &amp; \\n"},
		{[]string{"hunter2"}, "100%25 + hunter2", "100%25 + [secret]"},
		{[]string{"hun/ter2"}, "100%25 hun%2fter2", "100% [secret]"},
		{[]string{"hun/ter2"}, "hun/ter2 hun%2Fter2 hun%252fter2 &amp;",
			"[secret] [secret] [secret] &amp;"},

		// Those that are too short are everywhere.
		{[]string{"", "a", "abc"}, "abc", "abc"},
		{[]string{"abcd"}, "abcd", "[secret]"},

		// What is no UTF-8 is left as it is.
		{[]string{"hunter2"}, "\xff %ff", "\xff %ff"},
		{[]string{"hun\xffter2"}, "1 hun\xffter2", "1 [secret]"},
	} {
		if got := secretsWith(test.secrets...).Scrub(test.text); got != test.want {
			t.Errorf("%q, scrubbed of %q, became %q, want %q",
				test.text, test.secrets, got, test.want)
		}
	}
}

// What cannot be searched in time is not shown: neither is anything that hides behind it.
func TestTextThatCannotBeSearchedIsNotShown(t *testing.T) {
	const notShown = "[a text that is too long, or encoded too often, to be searched for secrets]"
	secrets := secretsWith("hunter2")
	encoded := "%" + strings.Repeat("25", 2000) + "41"
	if got := secrets.Scrub("hunter2 " + encoded); got != notShown {
		t.Errorf("encoded 2,000 times: %q", got)
	}
	if got := looker.NewSecrets().Scrub(encoded); got != notShown {
		t.Errorf("without any secrets: %q", got)
	}
	long := strings.Repeat("x", 64<<10)
	if got := secrets.Scrub(long + "hunter2"); got != long+"[secret]" {
		t.Errorf("64 KiB, and secrets of one length: got %d bytes", len(got))
	}
	for n := range 100 {
		secrets.Add(strings.Repeat("y", 100+n), start.Add(time.Hour), start)
	}
	if got := secrets.Scrub(long + "hunter2"); got != notShown {
		t.Errorf("64 KiB, and secrets of a hundred lengths: got %d bytes", len(got))
	}
	if got := secrets.Scrub("hunter2 " + long[:200]); got != "[secret] "+long[:200] {
		t.Errorf("200 bytes, and secrets of a hundred lengths: got %q", got)
	}
}

// tokenText returns the nth of many secrets, each of another length than the one before.
func tokenText(n int) string { return fmt.Sprintf("%s%08d", strings.Repeat("t", n%30), n) }

func TestSecretsThatHaveEndedAreSwept(t *testing.T) {
	secrets := looker.NewSecrets()
	secrets.Add("for-ever", start.Add(1000*time.Hour), start)
	most := 0
	now := start
	for n := range 20_000 { // 1,000 of which live at once
		now = now.Add(600 * time.Millisecond)
		secrets.Add(tokenText(n), now.Add(10*time.Minute), now)
		most = max(most, secrets.Len())
		if text := tokenText(n - min(n, 990)); secrets.Scrub(text) != "[secret]" {
			t.Fatalf("%q is known no more", text)
		}
	}
	if most < 1000 || most > 2400 {
		t.Errorf("up to %d were kept, want 1,000 that live, and about as many that do not", most)
	}

	// The next one after a pause, when few lengths are left to look for.
	now = now.Add(2 * time.Hour)
	secrets.Add("the-last", now.Add(time.Hour), now)
	if n := secrets.Len(); n != 2 {
		t.Errorf("%d are kept, want 2", n)
	}
	for text, want := range map[string]string{
		"the-last for-ever":         "[secret] [secret]",
		tokenText(19_999):           tokenText(19_999),
		strings.Repeat("x", 64<<10): strings.Repeat("x", 64<<10),
	} {
		if got := secrets.Scrub(text); got != want {
			t.Errorf("%.50q became %.50q, want %.50q", text, got, want)
		}
	}
}

// Once more with an earlier end is no reason to forget it, nor is a clock that is set back.
func TestSecretLastsAsLongAsItMay(t *testing.T) {
	secrets := looker.NewSecrets()
	secrets.Add("hunter2", start.Add(5*time.Hour), start)
	secrets.Add("hunter2", start.Add(time.Hour), start)
	for _, after := range []time.Duration{-24 * time.Hour, 0, 2 * time.Hour, 5 * time.Hour} {
		now := start.Add(after)
		secrets.Add("hunter3", now.Add(time.Minute), now)
		if got := secrets.Scrub("hunter2 hunter3"); got != "[secret] [secret]" {
			t.Errorf("%v later: %q", after, got)
		}
	}
}

func TestSecretsOfManyLengths(t *testing.T) {
	var all []string
	for n := range 100 {
		all = append(all, strings.Repeat("s", n)+"-end")
	}
	slices.Reverse(all)
	secrets := secretsWith(all...)
	for _, s := range all {
		if got := secrets.Scrub("1 " + s + " 2"); got != "1 [secret] 2" {
			t.Errorf("%q became %q", s, got)
		}
	}
}
