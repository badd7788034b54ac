package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/chromedp/chromedp"

	"github.com/lookerauth/lookerauth/lookertest"
)

var screenshot = flag.String("screenshot", "", "`file` to put a picture of the page into")

// missing skips the test for what is not installed. If the environment has CI in it, the test
// fails instead.
func missing(t *testing.T, what string) {
	t.Helper()
	if _, ci := os.LookupEnv("CI"); ci {
		t.Fatal(what)
	}
	t.Skip(what)
}

// site is the service and Looker, each with an origin of its own.
type site struct {
	looker *lookertest.Server
	clock  *clock.Mock // Looker's and the service's
	addr   string
	stop   func(t *testing.T) // what runs of the service
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{clock: clock.NewMock()}
	s.clock.Set(time.Now())
	listener := listen(t, "127.0.0.1:0")
	s.addr = listener.Addr().String()
	s.looker = lookertest.New(t, lookertest.WithClock(s.clock), lookertest.WithOrigins(s.url()))
	fill(s.looker)
	s.serve(t, listener)
	t.Cleanup(func() { s.stop(t) })
	return s
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func (s *site) url() string { return "http://" + s.addr }

// serve starts the service.
func (s *site) serve(t *testing.T, listener net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, s.looker.Config(), testSettings) }()
	s.stop = func(t *testing.T) {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.stop = func(*testing.T) {}
	}
}

// browser starts Chromium, which ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	i := slices.IndexFunc(names, func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil
	})
	if i < 0 {
		missing(t, "Chromium is not installed: apt-get install chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // for a page that hangs
	t.Cleanup(cancel)
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(names[i]), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1120, 800))
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab is what a customer has open, who shares nothing with others.
type tab struct{ ctx context.Context }

// open signs a customer in.
func open(t *testing.T, browser context.Context, s *site, customer string) tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	page := tab{ctx}
	page.do(t, chromedp.Navigate(s.url()), chromedp.Click(`button[value="`+customer+`"]`),
		chromedp.WaitVisible(`form[action="/sign-out"]`))
	return page
}

func (page tab) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(page.ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// get returns the value of an action.
func get[T any](t *testing.T, page tab, action chromedp.Action[T]) T {
	t.Helper()
	value, err := chromedp.Run(page.ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// wait waits until the expression is true in the page.
func (page tab) wait(t *testing.T, expression string) {
	t.Helper()
	const format = `new Promise(done => {
		const look = () => (%s) ? done(true) : setTimeout(look, 10)
		look()
	})`
	script := fmt.Sprintf(format, expression)
	page.do(t, chromedp.Evaluate[chromedp.Void](script, chromedp.EvalAwaitPromise))
}

// text is what the element shows.
func (page tab) text(t *testing.T, selector string) string {
	t.Helper()
	page.do(t, chromedp.WaitVisible(selector))
	return get(t, page, chromedp.Text(selector))
}

// refresh clicks on Refresh, and waits for what comes of it. It returns the notice, if any.
func (page tab) refresh(t *testing.T) (notice string) {
	t.Helper()
	page.do(t, chromedp.Click("#refresh"))
	page.wait(t, `!document.body.classList.contains('loading')`)
	return get(t, page, chromedp.TextContent("#notice"))
}

// age lets time pass, for Looker, the service and the page.
func (page tab) age(t *testing.T, s *site, d time.Duration) {
	t.Helper()
	s.clock.Add(d)
	const format = `{ const now = Date.now; Date.now = () => now.call(Date) + %d }`
	page.do(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(format, d.Milliseconds())))
}

// waitForToken waits until the page has a new token.
func (page tab) waitForToken(t *testing.T) {
	t.Helper()
	page.wait(t, `/^(59|60):/.test(document.getElementById('left').textContent)`)
}

// TestPage is one test, as starting Chromium takes most of the time.
func TestPage(t *testing.T) {
	chromium := browser(t)
	for name, test := range map[string]func(*testing.T, context.Context, *site){
		"shows each customer their own rows":            testOwnRows,
		"replaces a token that ages":                    testAgingToken,
		"replaces a token that Looker has revoked":      testRevokedToken,
		"goes on through a restart of the service":      testRestart,
		"tells a customer whom Looker does not know so": testUnknownCustomer,
	} {
		t.Run(name, func(t *testing.T) { test(t, chromium, newSite(t)) })
	}
}

func testOwnRows(t *testing.T, chromium context.Context, s *site) {
	ann, bob := open(t, chromium, s, "ann"), open(t, chromium, s, "bob")
	for _, try := range []struct {
		page                  tab
		name, article, others string
	}{
		{ann, "Ann", "Oak desk", "Espresso"}, {bob, "Bob", "Espresso machine", "Oak"},
	} {
		try.page.wait(t, `document.querySelector('#rows tr')`)
		body := try.page.text(t, "body")
		if !strings.Contains(body, try.article) || strings.Contains(body, try.others) ||
			try.page.text(t, "#name") != try.name {
			t.Errorf("%s sees\n%s", try.name, body)
		}
		if left := try.page.text(t, "#left"); !strings.HasPrefix(left, "59:") && left != "60:00" {
			t.Errorf("the token of %s lives for %q", try.name, left)
		}
	}
	if *screenshot != "" {
		picture := get(t, ann, chromedp.CaptureScreenshot())
		if err := os.WriteFile(*screenshot, picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func testAgingToken(t *testing.T, chromium context.Context, s *site) {
	ann := open(t, chromium, s, "ann")
	ann.wait(t, `document.querySelector('#rows tr')`)
	login := make(chan struct{})
	once := sync.OnceFunc(func() { close(login) })
	s.looker.FailFunc(func(r lookertest.Request) lookertest.Fault {
		if r.Op == lookertest.OpLoginUser {
			once()
		}
		return lookertest.Fault{}
	})
	ann.age(t, s, time.Hour-55*time.Second)
	select { // nobody clicks
	case <-login:
	case <-ann.ctx.Done():
		t.Fatal("the page asks for no other token")
	}
	ann.waitForToken(t)
	ann.age(t, s, time.Minute) // the first token expires
	if notice := ann.refresh(t); notice != "" {
		t.Error(notice)
	}
	if logins := s.looker.Count(lookertest.OpLoginUser, "789"); logins != 2 {
		t.Errorf("%d logins, want 2", logins)
	}
}

func testRevokedToken(t *testing.T, chromium context.Context, s *site) {
	ann := open(t, chromium, s, "ann")
	ann.wait(t, `document.querySelector('#rows tr')`)
	s.looker.Revoke("789")
	if notice := ann.refresh(t); notice != "" {
		t.Error(notice)
	}
}

func testRestart(t *testing.T, chromium context.Context, s *site) {
	ann := open(t, chromium, s, "ann")
	ann.wait(t, `document.querySelector('#rows tr')`)
	s.stop(t)
	ann.age(t, s, time.Hour-55*time.Second)
	if notice := ann.refresh(t); notice != "" { // Looker still takes the token
		t.Error(notice)
	}
	s.serve(t, listen(t, s.addr))
	ann.waitForToken(t)
	ann.age(t, s, time.Minute) // the first token expires
	if notice := ann.refresh(t); notice != "" {
		t.Error(notice)
	}
	if got := ann.text(t, "#rows"); !strings.Contains(got, "Oak desk") {
		t.Errorf("after the restart the page shows\n%s", got)
	}
}

func testUnknownCustomer(t *testing.T, chromium context.Context, s *site) {
	eve := open(t, chromium, s, "eve")
	if got := eve.text(t, "h1"); got != "Looker does not know you" {
		t.Errorf("the page says %q", got)
	}
}

func TestBundleIsThatOfItsSource(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		missing(t, "npm is not installed: apt-get install nodejs npm")
	}
	if _, err := os.Stat("page/node_modules/esbuild"); err != nil {
		missing(t, "the page's packages are not installed: npm ci --prefix examples/service/page")
	}
	fresh := filepath.Join(t.TempDir(), "app.js")
	build := exec.CommandContext(t.Context(),
		"npm", "--prefix", "page", "--silent", "run", "build", "--", "--outfile="+fresh)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, err := os.ReadFile(fresh)
	if err != nil {
		t.Fatal(err)
	}
	got, err := files.ReadFile("page/dist/app.js")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("page/dist/app.js is out of date: npm --prefix page run build (%v)", err)
	}
}
