package lookerauth_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

const uploads = "/api/4.0/uploads"

var (
	uploadSize  = flag.Int("upload.size", 8, "the size of uploads in MiB")
	uploadCount = flag.Int("upload.count", 5, "how many there are of each kind")
)

// newUploads is a server in front of looker that answers an upload with the hash of its body. One
// with a bad token is answered 401 at once, and is read all the same.
func newUploads(t *testing.T, looker *lookertest.Server, http2 bool) *httptest.Server {
	t.Helper()
	target := must(url.Parse(looker.URL))
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewUnstartedServer(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != uploads {
				proxy.ServeHTTP(w, r)
				return
			}
			_ = http.NewResponseController(w).EnableFullDuplex() // which HTTP/2 always is
			ask, _ := http.NewRequest(http.MethodGet, looker.URL+looks, nil)
			ask.Header = r.Header.Clone()
			resp, err := http.DefaultClient.Do(ask)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				w.Header().Set("Content-Length", "8")
				w.WriteHeader(resp.StatusCode)
				_, _ = io.WriteString(w, "Requires")
				if r.ProtoMajor == 1 { // HTTP/2 stops sending
					_ = http.NewResponseController(w).Flush()
					_, _ = io.Copy(io.Discard, r.Body)
				}
				return
			}
			hash := sha256.New()
			_, _ = io.Copy(hash, r.Body)
			_, _ = io.WriteString(w, hex.EncodeToString(hash.Sum(nil)))
		}))
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return server
}

// A body over one file must not be rewound while net/http reads it for the first request.
func TestUploadThatIsSentAgainArrivesWhole(t *testing.T) {
	size := *uploadSize << 20
	text := make([]byte, size)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(text)
	sum := sha256.Sum256(text)
	want := hex.EncodeToString(sum[:])
	file := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	bodies := map[string]func(t *testing.T, req *http.Request){
		"over one file": func(t *testing.T, req *http.Request) {
			shared := must(os.Open(file))
			t.Cleanup(func() { shared.Close() })
			rewound := func() (io.ReadCloser, error) {
				_, err := shared.Seek(0, io.SeekStart)
				return io.NopCloser(shared), err
			}
			req.Body, _ = rewound()
			req.GetBody = rewound
		},
		"with copies": func(_ *testing.T, req *http.Request) {
			own := func() (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(text)), nil
			}
			req.Body, _ = own()
			req.GetBody = own
		},
	}
	for proto, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		for name, setBody := range bodies {
			t.Run(proto+" "+name, func(t *testing.T) {
				looker := lookertest.New(t)
				server := newUploads(t, looker, http2)
				base := withTransport(server.Client().Transport)
				user := newCache(t, looker, withBaseURL(server.URL), base).User("789")
				accessToken(t, user)
				for range *uploadCount {
					looker.Revoke("789")
					req, _ := http.NewRequest(http.MethodPut, server.URL+uploads, nil)
					req.ContentLength = int64(size)
					setBody(t, req)
					resp, err := user.Client().Do(req)
					if err != nil {
						t.Fatal(err)
					}
					got, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					status := resp.StatusCode
					if status != http.StatusOK || string(got) != want || resp.Proto != proto {
						t.Errorf("%s %d: %s, want %s", resp.Proto, status, got, want)
					}
				}
			})
		}
	}
}

func TestLimitedConnectionsSufficeForTheLogin(t *testing.T) {
	for _, limit := range []int{1, 10} {
		looker := lookertest.New(t)
		base := &http.Transport{MaxConnsPerHost: limit}
		defer base.CloseIdleConnections()
		user := newCache(t, looker, withTransport(base)).User("789")
		accessToken(t, user)
		looker.Revoke("789")
		client := user.Client()
		together(50, func(int) { answersAs(t, client, looker, "789") })
	}
}

// blocked is a body that never ends, until it is closed.
type blocked chan struct{}

func (b blocked) Read([]byte) (int, error) {
	<-b
	return 0, io.ErrClosedPipe
}

func (b blocked) Close() error { close(b); return nil }

func TestRejectionThatNeverEndsDelaysTheReplayForASecond(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		answers := []*http.Response{
			{StatusCode: http.StatusUnauthorized, Body: make(blocked)},
			respond(http.StatusOK, nil, `{"user_id":"789"}`),
		}
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			defer func() { answers = answers[1:] }()
			return answers[0], nil
		})
		user := newCache(t, looker).User("789")
		before := time.Now()
		answersAs(t, &http.Client{Transport: user.Transport(base)}, looker, "789")
		checkTook(t, before, time.Second)
	})
}

func TestRejectionWithoutAReplacementKeepsItsBody(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		user := newCache(t, looker).User("789")
		accessToken(t, user)
		looker.Revoke("789")
		failing(looker, lookertest.OpLoginUser, answered(http.StatusForbidden))
		var cut io.ReadCloser = make(blocked)
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			body := io.MultiReader(bytes.NewReader([]byte("Requires")), cut)
			return &http.Response{
				StatusCode: http.StatusUnauthorized,
				Body: struct {
					io.Reader
					io.Closer
				}{body, cut},
			}, nil
		})
		resp, err := (&http.Client{Transport: user.Transport(base)}).Get(looker.URL + looks)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if string(text) != "Requires" || err != io.ErrUnexpectedEOF {
			t.Errorf("the 401 says %q, and %v", text, err)
		}
	})
}
