package lookertest_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// start is lookertest.Start, for tests that end the Server themselves.
func start(t *testing.T, opts ...lookertest.Option) *lookertest.Server {
	t.Helper()
	looker, err := lookertest.Start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return looker
}

// alive asks the Server whether it is there, without a token.
func alive(client *http.Client, url string) error {
	resp, err := client.Get(url + "/api/4.0/alive")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// use logs a user in with the library.
func use(t *testing.T, looker *lookertest.Server) {
	t.Helper()
	cfg := looker.Config()
	cache, err := lookerauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close(t.Context())
	resp, err := cache.User("789").Client().Get(looker.URL + "/api/" + cfg.APIVersion + "/user")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("answered %s", resp.Status)
	}
}

// Whoever knows the URL reaches the Server, from another process, too.
func TestServerListensOnLoopback(t *testing.T) {
	looker := lookertest.New(t, lookertest.Option{}) // which changes nothing
	if !strings.HasPrefix(looker.URL, "http://127.0.0.1:") {
		t.Errorf("the URL is %s", looker.URL)
	}
	stranger := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if err := alive(stranger, looker.URL); err != nil {
		t.Error(err)
	}
	use(t, looker)
}

func TestNewEndsWithTheTest(t *testing.T) {
	var looker *lookertest.Server
	t.Run("the test", func(t *testing.T) {
		looker = lookertest.New(t)
		t.Cleanup(func() {
			if err := alive(looker.Client(), looker.URL); err != nil {
				t.Errorf("closed before what was registered later: %v", err)
			}
		})
	})
	if alive(looker.Client(), looker.URL) == nil {
		t.Error("not closed")
	}
}

// fatal is a test that only notes that it failed.
type fatal struct {
	testing.TB
	message string
}

func (f *fatal) Helper() {}

func (f *fatal) Fatal(args ...any) {
	f.message = fmt.Sprint(args...)
	panic(f)
}

func TestNewFailsTheTestIfItCannotStart(t *testing.T) {
	test := &fatal{TB: t}
	defer func() {
		if recover() != test || !strings.Contains(test.message, "WithAddr") {
			t.Errorf("failed with %q", test.message)
		}
	}()
	lookertest.New(test, lookertest.WithAddr("127.0.0.1:none"))
}

func TestTakenAddressIsAnErrorThatSaysWhatToDo(t *testing.T) {
	addr := strings.TrimPrefix(lookertest.New(t).URL, "http://")
	_, err := lookertest.Start(lookertest.WithAddr(addr))
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{addr, "end what listens there", "WithAddr", "port 0"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in the error: %v", part, err)
		}
	}
}

func TestServerListensOnItsAddress(t *testing.T) {
	looker := lookertest.New(t, lookertest.WithAddr("localhost:0"))
	if err := alive(looker.Client(), looker.URL); err != nil {
		t.Error(err)
	}
}

func TestNoAddressIsInMemory(t *testing.T) {
	_, err := lookertest.Start(lookertest.InMemory(), lookertest.WithAddr("127.0.0.1:0"))
	if err == nil || !strings.Contains(err.Error(), "leave WithAddr out") {
		t.Errorf("got %v", err)
	}
}

// TestMain looks for what is left.
func TestCloseEndsAllThatIsUnderWay(t *testing.T) {
	for name, opts := range map[string][]lookertest.Option{
		"loopback":  nil,
		"TLS":       {lookertest.WithTLS()},
		"in memory": {lookertest.InMemory()},
	} {
		t.Run(name, func(t *testing.T) {
			looker := start(t, opts...)
			begun := make(chan struct{})
			looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
				if call.Path == "/slow" {
					close(begun)
					return lookertest.Fault{Delay: time.Hour}
				}
				return lookertest.Fault{}
			})
			if err := alive(looker.Client(), looker.URL); err != nil { // leaves a connection
				t.Fatal(err)
			}
			ended := make(chan error)
			go func() {
				_, err := looker.Client().Post(looker.URL+"/api/4.0/slow", "", nil)
				ended <- err
			}()
			<-begun
			looker.Close()
			if <-ended == nil {
				t.Error("answered, after an hour's delay")
			}
			if alive(looker.Client(), looker.URL) == nil {
				t.Error("answers after Close")
			}
			looker.Close() // again
		})
	}
}

func TestCloseEndsCallsWhoseAnswersNobodyReads(t *testing.T) {
	for name, opts := range map[string][]lookertest.Option{
		"loopback":       nil,
		"TLS":            {lookertest.WithTLS()},
		"in memory":      {lookertest.InMemory()},
		"TLS, in memory": {lookertest.InMemory(), lookertest.WithTLS()},
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				endsUnreadCalls(t, start(t, opts...))
			}
		})
	}
}

// endsUnreadCalls closes the Server while calls come.
func endsUnreadCalls(t *testing.T, looker *lookertest.Server) {
	t.Helper()
	var once sync.Once
	begun := make(chan struct{})
	looker.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { close(begun) })
		_, _ = w.Write(make([]byte, 16<<20))
	})
	c := caller{t, looker, "/api/4.0"}
	req, err := http.NewRequest(http.MethodGet, looker.URL+"/api/4.0/long", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", c.login())
	var callers sync.WaitGroup
	closed := make(chan struct{})
	for range 8 {
		callers.Go(func() {
			for {
				resp, err := looker.Client().Do(req.Clone(t.Context()))
				if err != nil {
					return
				}
				defer func() {
					<-closed // so that not even that ends the call
					resp.Body.Close()
				}()
			}
		})
	}
	<-begun
	looker.Close()
	close(closed)
	callers.Wait()
}

func TestConfigIsOfTheNewestVersion(t *testing.T) {
	use(t, lookertest.New(t, lookertest.WithAPIVersions("3.1")))
	looker := lookertest.New(t, lookertest.WithAPIVersions("3.0", "4.0", "3.1"))
	if got := looker.Config().APIVersion; got != "4.0" {
		t.Errorf("it is of %s", got)
	}
}

func TestInMemoryServerNeedsNoNetworkAndNoTime(t *testing.T) {
	for name, opts := range map[string][]lookertest.Option{
		"http":  {lookertest.InMemory()},
		"https": {lookertest.InMemory(), lookertest.WithTLS()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				looker := lookertest.New(t, opts...)
				if !strings.HasPrefix(looker.URL, name+"://127.0.0.1:") {
					t.Errorf("the URL is %s", looker.URL)
				}
				before := time.Now()
				use(t, looker)
				looker.FailNext(lookertest.OpAPI, lookertest.Fault{Delay: time.Hour})
				if err := alive(looker.Client(), looker.URL); err != nil {
					t.Error(err)
				}
				if took := time.Since(before); took != time.Hour {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestOnlyTheServersOwnTrustItsCertificate(t *testing.T) {
	looker := lookertest.New(t, lookertest.WithTLS(), lookertest.WithAddr("localhost:0"))
	if !strings.HasPrefix(looker.URL, "https://") {
		t.Errorf("the URL is %s", looker.URL)
	}
	stranger := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if err := alive(stranger, looker.URL); err == nil || !strings.Contains(err.Error(), "x509") {
		t.Errorf("anybody trusts the certificate: %v", err)
	}
	if err := alive(looker.Client(), looker.URL); err != nil {
		t.Error(err)
	}
	if err := alive(&http.Client{Transport: looker.Transport()}, looker.URL); err != nil {
		t.Error(err)
	}
	use(t, looker)
}

func TestCertificateIsTrustedAtAnyAddress(t *testing.T) {
	looker, err := lookertest.Start(lookertest.WithTLS(), lookertest.WithAddr("127.0.0.2:0"))
	if err != nil {
		t.Skip("this machine has one address of the loopback interface only: ", err)
	}
	defer looker.Close()
	if err := alive(looker.Client(), looker.URL); err != nil {
		t.Error(err)
	}
}

func TestClientAddsNoTokenAndIsTheCallers(t *testing.T) {
	looker := lookertest.New(t)
	use(t, looker)
	resp, err := looker.Client().Get(looker.URL + "/api/4.0/user")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("answered %s", resp.Status)
	}
	looker.Client().Transport = nil
	if looker.Client().Transport != looker.Transport() {
		t.Error("one caller changes another's client")
	}
}

func TestTokensAndDelaysAreTimedByTheClock(t *testing.T) {
	now := clock.NewMock()
	looker := lookertest.New(t, lookertest.WithClock(now))
	if looker.Config().Clock != now {
		t.Error("the Config has another clock")
	}
	c := caller{t, looker, "/api/4.0"}
	token := c.loginUser("789")
	now.Add(time.Hour - time.Nanosecond)
	c.want(200, http.MethodGet, "/user", token)
	now.Add(time.Nanosecond)
	c.want(401, http.MethodGet, "/user", token)

	begun := make(chan struct{})
	looker.FailFunc(func(lookertest.Request) lookertest.Fault {
		close(begun)
		return lookertest.Fault{Delay: time.Hour, Status: http.StatusTeapot}
	})
	answered := make(chan int)
	go func() {
		status, _ := c.call(http.MethodPost, "/looks", "", "")
		answered <- status
	}()
	<-begun
	for { // the delay may begin a little later
		select {
		case status := <-answered:
			if status != http.StatusTeapot {
				t.Errorf("answered %d", status)
			}
			return
		default:
			now.Add(time.Hour)
		}
	}
}

func TestNilClockIsTheTimePackages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looker := lookertest.New(t, lookertest.InMemory(), lookertest.WithClock(nil))
		if now := looker.Config().Clock.Now(); !now.Equal(time.Now()) {
			t.Errorf("it is %v", now)
		}
	})
}
