package origin_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/lookerauth/lookerauth/internal/origin"
)

// groups are spellings of base URLs: those in one group mean the same, those in two do not.
var groups = [][]string{
	{"https://looker.example", "HTTPS://LOOKER.example", "https://looker.example:443",
		"https://looker.example:"},
	{"http://looker.example", "http://Looker.Example:80", "HTTP://looker.example:"},
	{"https://looker.example:80", "https://LOOKER.EXAMPLE:80"},
	{"http://looker.example:443", "http://looker.EXAMPLE:443"},
	{"https://looker.example:19999", "HTTPS://Looker.example:19999"},
	{"https://looker.example:1999"},
	{"https://looker.example.", "https://looker.example.:443"},
	{"https://ooker.example"},
	{"https://looker.example.evil.example"},
	{"https://[::1]", "https://[::1]:443", "https://[::1]:"},
	{"https://[::1]:19999"},
	{"https://[::1:443]"},
	{"https://[fe80::A]", "https://[fe80::a]:443"},
	{"https://[fe80::A%25eth0]", "https://[fe80::a%25eth0]:443"},
	{"https://[fe80::a%25ETH0]", "https://[FE80::A%25ETH0]"},
	{"https://127.0.0.1", "https://127.0.0.1:443"},
}

func TestOriginsAreTheSameHoweverTheyAreSpelled(t *testing.T) {
	eachPair(func(base, other string, same bool) {
		if got := origin.New(base).String() == origin.New(other).String(); got != same {
			t.Errorf("%s and %s are the same: %v", base, other, got)
		}
	})
}

func TestOriginCoversARequestHoweverItIsSpelled(t *testing.T) {
	eachPair(func(base, other string, same bool) {
		o := origin.New(base)
		if got := o.Covers(request(t, other+"/x")); got != same {
			t.Errorf("%s covers a request to %s: %v", base, other, got)
		}
	})
}

// A server may go by the Host header, whatever the URL has.
func TestOriginCoversARequestWhoseHostHeaderIsTheSame(t *testing.T) {
	eachPair(func(base, other string, same bool) {
		o, req, there := origin.New(base), request(t, base+"/x"), request(t, other)
		if req.URL.Scheme != there.URL.Scheme {
			return // the header has none
		}
		req.Host = there.URL.Host
		if got := o.Covers(req); got != same {
			t.Errorf("%s covers a request with the Host %s: %v", base, req.Host, got)
		}
	})
}

// eachPair calls f with all pairs of base URLs.
func eachPair(f func(base, other string, same bool)) {
	for i, group := range groups {
		for j, others := range groups {
			for _, base := range group {
				for _, other := range others {
					f(base, other, i == j)
				}
			}
		}
	}
}

func request(t *testing.T, rawURL string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, rawURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestStringIsTheOneSpelling(t *testing.T) {
	for base, want := range map[string]string{
		"https://Looker.Example":         "https://looker.example:443",
		"HTTP://looker.example":          "http://looker.example:80",
		"https://looker.example:19999":   "https://looker.example:19999",
		"https://looker.example/BI":      "https://looker.example:443/BI",
		"https://looker.example/a%2Fb/c": "https://looker.example:443/a%2Fb/c",
		"https://[FE80::1]:9999/bi":      "https://[fe80::1]:9999/bi",
	} {
		if got := origin.New(base).String(); got != want {
			t.Errorf("%s became %s, want %s", base, got, want)
		}
	}
}

func TestOriginCoversPathsBelowItsPrefix(t *testing.T) {
	for _, test := range []struct {
		prefix, path string
		covered      bool
	}{
		{"", "", true},
		{"", "/", true},
		{"", "/x/../..//%2e%2e;/y", true}, // there is nothing beside it
		{"/bi", "/bi", true},
		{"/bi", "/bi/", true},
		{"/bi", "/bi//x", true},
		{"/bi", "/bi/x?next=/../..", true},
		{"/bi", "/bi/x#/../..", true},
		{"/bi/looker", "/bi/looker/x", true},
		{"/a%2Fb", "/a%2Fb/x", true},

		{"/bi", "", false},
		{"/bi", "/", false},
		{"/bi", "/b", false},
		{"/bi", "/bib", false},
		{"/bi", "/bi.", false},
		{"/bi", "/bi;x/y", false},
		{"/bi", "/bi%2Fx", false},
		{"/bi", "/x/bi", false},
		{"/bi", "/bi/x/../../..", false},
		{"/bi", "/bi/x/../y", false},
		{"/bi/looker", "/bi/x", false},
		{"/bi/looker", "/bi/looker/..", false},
		{"/a%2Fb", "/a/b/x", false},
		{"/a%2Fb", "/a%2fb/x", false}, // whether it means the same depends on the server
	} {
		o := origin.New("https://looker.example" + test.prefix)
		if got := o.Covers(request(t, "https://looker.example"+test.path)); got != test.covered {
			t.Errorf("below %q, %q is covered: %v", test.prefix, test.path, got)
		}
	}
}

func TestOriginSaysWhatLeadsAway(t *testing.T) {
	o := origin.New("https://looker.example/bi")
	for _, test := range []struct {
		url, host string
		want      origin.Part
	}{
		{"https://looker.example/bi", "", origin.Nothing},
		{"https://looker.example/bi", "LOOKER.example:443", origin.Nothing},
		{"https://evil.example/bi", "", origin.URL},
		{"https://evil.example/bi", "looker.example", origin.URL},
		{"https://looker.example:444/bi", "", origin.URL},
		{"http://looker.example/bi", "", origin.URL},
		{"https:looker.example/bi", "", origin.URL},
		{"https://looker.example/bi", "www.example", origin.HostHeader},
		{"https://looker.example/x", "www.example", origin.HostHeader},
		{"https://looker.example/x", "", origin.Path},
		{"https://looker.example/bi/%2e./x", "", origin.Path},
	} {
		req := request(t, test.url)
		req.Host = test.host
		if got := o.Strays(req); got != test.want {
			t.Errorf("%s (Host: %s): %v, want %v", test.url, test.host, got, test.want)
		}
	}
}

// What counts is the path that goes on the wire, not how the URL was put together.
func TestOriginGoesByThePathOnTheWire(t *testing.T) {
	o := origin.New("https://looker.example/bi")
	for _, test := range []struct {
		path, raw string
		covered   bool
	}{
		{"/bi/a/b", "/bi/a%2Fb", true},
		{"/bi/../x", "/bi/%2E%2E/x", false},
		{"/evil", "/bi/x", false}, // the raw path is not one of the path, and is ignored
		{"/bi/x", "/evil", true},
		{"/bi", "/%62i", false},
	} {
		req := request(t, "https://looker.example")
		req.URL.Path, req.URL.RawPath = test.path, test.raw
		if got := o.Covers(req); got != test.covered {
			t.Errorf("%s is covered: %v", req.URL.RequestURI(), got)
		}
	}
}

func TestOriginCoversNoRequestWithoutAPlace(t *testing.T) {
	o := origin.New("https://looker.example")
	for _, u := range []*url.URL{
		nil,
		{},
		{Scheme: "https"},
		{Host: "looker.example"},
		{Scheme: "https", Host: "looker.example", Opaque: "//evil.example/x"},
	} {
		if o.Covers(&http.Request{URL: u}) {
			t.Errorf("%#v is covered", u)
		}
	}
}

func TestOriginCoversRedirectsThatNeverLeftIt(t *testing.T) {
	o := origin.New("https://looker.example/bi")
	const inside = "https://looker.example/bi/"
	for _, test := range []struct {
		covered bool
		chain   []string // from the first request to the last
	}{
		{true, []string{inside}},
		{true, []string{inside + "1", inside + "2"}},
		{true, []string{inside + "1", "HTTPS://LOOKER.EXAMPLE:443/bi/2", inside + "3", inside}},
		{false, []string{"https://evil.example/", inside}},
		{false, []string{inside, "https://evil.example/", inside}},
		{false, []string{"https://evil.example/", inside + "1", inside + "2", inside + "3"}},
		{false, []string{inside + "1", inside + "2", "http://looker.example/bi/3", inside}},
		{false, []string{inside, "https://looker.example/other", inside}},
		{false, []string{inside, "https://looker.example/bi/../other", inside}},
		{false, []string{inside, inside, "https://evil.example/"}},
	} {
		var req *http.Request
		for _, rawURL := range test.chain {
			next := request(t, rawURL)
			if req != nil {
				next.Response = &http.Response{Request: req} // as http.Client has it
			}
			req = next
		}
		if got := o.Covers(req); got != test.covered {
			t.Errorf("%q is covered: %v", test.chain, got)
		}
	}
}

func TestOriginCoversARequestWhoseResponseDoesNotSayWhatLedToIt(t *testing.T) {
	o := origin.New("https://looker.example")
	req := request(t, "https://looker.example")
	req.Response = &http.Response{}
	if !o.Covers(req) {
		t.Error("it is not covered")
	}
}

func TestNewPanicsSayingWhatIsNoURL(t *testing.T) {
	defer func() {
		if err, ok := recover().(*url.Error); !ok || err.URL != "https://%" {
			t.Errorf("panicked with %v", err)
		}
	}()
	origin.New("https://%")
}
