package filestore_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/filestore"
	"github.com/lookerauth/lookerauth/lookertest"
)

var kills = flag.Int("kills", 10, "how many processes TestKilledProcessCostsOneLogin kills")

// The environment of the processes that the tests start, besides the LOOKERSDK_* variables.
const (
	taskVariable = "FILESTORE_TEST_TASK" // only they have it
	dirVariable  = "FILESTORE_TEST_DIR"
)

// fleetUsers is how many users each process of a fleet acts as.
const fleetUsers = 20

// runTask is such a process. It ends with its standard input, and so with its parent.
func runTask(task string) {
	tasks := map[string]func(in *bufio.Reader, out *json.Encoder) error{
		"fleet": actAsAll, "victim": actAsOneAfterTheOther,
	}
	if err := tasks[task](bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// slowClock runs at a tenth of the clock's speed, so that a slow machine's Store is not a slow one.
type slowClock struct{ start time.Time }

const slowness = 10

func (c slowClock) Now() time.Time { return c.start.Add(time.Since(c.start) / slowness) }

func (c slowClock) After(d time.Duration) <-chan time.Time { return time.After(slowness * d) }

// newCache returns a Cache with a Store, as a process has it.
func newCache(
	cfg lookerauth.Config, dir string, clock lookerauth.Clock,
) (*lookerauth.Cache, *filestore.Store, error) {
	store, err := filestore.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	cfg.Store, cfg.StoreKeys, cfg.Clock = store, store.Keys(), clock
	cache, err := lookerauth.New(cfg)
	return cache, store, err
}

// cacheFromEnv is the Cache of a process that a test has started.
func cacheFromEnv() (*lookerauth.Cache, *filestore.Store, error) {
	cfg, err := lookerauth.ConfigFromEnv()
	if err != nil {
		return nil, nil, err
	}
	return newCache(cfg, os.Getenv(dirVariable), slowClock{time.Now()})
}

// report is what a process of a fleet prints.
type report struct {
	Key         string
	StoreErrors uint64
}

// actAsAll waits for a line. Then it opens the folder, and acts as all users at once.
func actAsAll(in *bufio.Reader, out *json.Encoder) error {
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	cache, store, err := cacheFromEnv()
	if err != nil {
		return err
	}
	errs := make([]error, fleetUsers)
	var all sync.WaitGroup
	for _, i := range rand.Perm(fleetUsers) {
		all.Go(func() { _, errs[i] = cache.User(strconv.Itoa(i)).Token() })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return out.Encode(report{hex.EncodeToString(store.Keys()[0]), cache.Stats().StoreErrors})
}

// actAsOneAfterTheOther prints each user's number once it has the token.
func actAsOneAfterTheOther(_ *bufio.Reader, out *json.Encoder) error {
	cache, _, err := cacheFromEnv()
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if _, err := cache.User(strconv.Itoa(i)).Token(); err != nil {
			return err
		}
		if err := out.Encode(i); err != nil {
			return err
		}
	}
}

// process is one that a test has started.
type process struct {
	*exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// start starts a process that does the task. It is killed with the test, at the latest.
func start(t *testing.T, task string, looker *lookertest.Server, dir string) process {
	t.Helper()
	cfg := looker.Config()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(),
		"LOOKERSDK_BASE_URL="+cfg.BaseURL,
		"LOOKERSDK_CLIENT_ID="+cfg.ClientID,
		"LOOKERSDK_CLIENT_SECRET="+cfg.ClientSecret,
		"LOOKERSDK_API_VERSION=", "LOOKERSDK_VERIFY_SSL=", "LOOKERSDK_TIMEOUT=",
		taskVariable+"="+task,
		dirVariable+"="+dir,
	)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	check(t, err)
	out, err := command.StdoutPipe()
	check(t, err)
	check(t, command.Start())
	return process{command, in, json.NewDecoder(out)}
}

func TestProcessesThatStartTogetherLogEachUserInOnce(t *testing.T) {
	looker, dir := lookertest.New(t), newDir(t)
	var processes [8]process
	for i := range processes {
		processes[i] = start(t, "fleet", looker, dir)
	}
	for _, p := range processes {
		_, err := io.WriteString(p.in, "\n")
		check(t, err)
	}
	var reports []report
	for _, p := range processes {
		var r report
		check(t, p.out.Decode(&r))
		check(t, p.Wait())
		reports = append(reports, r)
	}
	if reports = slices.Compact(reports); len(reports) != 1 || reports[0].StoreErrors > 0 {
		t.Errorf("they have %d different keys or numbers of errors: %+v", len(reports), reports)
	}
	if n := looker.Count(lookertest.OpLogin, ""); n != 1 {
		t.Errorf("%d logins of the service account, want 1", n)
	}
	for i := range fleetUsers {
		if n := looker.Count(lookertest.OpLoginUser, strconv.Itoa(i)); n != 1 {
			t.Errorf("%d logins of user %d, want 1", n, i)
		}
	}
}

// impatientClock moves ahead instead of waiting for the moments between two looks at a lease. All
// that is longer limits something, and takes its time.
type impatientClock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *impatientClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *impatientClock) After(d time.Duration) <-chan time.Time {
	const longestMoment = 500 * time.Millisecond
	if d > longestMoment {
		return time.After(slowness * d)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	return time.After(0)
}

// A process is killed at any moment of its way through as many users as it can. The next one needs
// a login for that user at most whose login was cut off.
func TestKilledProcessCostsOneLogin(t *testing.T) {
	most := 0
	for range *kills {
		looker, dir := lookertest.New(t), newDir(t)
		victim := start(t, "victim", looker, dir)
		for range rand.N(20) {
			var user int
			check(t, victim.out.Decode(&user))
		}
		for range rand.N(1000) { // a moment more or less
			looker.Count(lookertest.OpLoginUser, "")
		}
		check(t, victim.Process.Kill())
		_ = victim.Wait() // it was killed, and says so

		logins, begun := countLogins(looker), identities(looker)
		cache, _, err := newCache(looker.Config(), dir, &impatientClock{})
		check(t, err)
		for _, who := range begun {
			_, err := cache.As(who).Token()
			check(t, err)
		}
		n := countLogins(looker) - logins
		most = max(most, n)
		if n > 1 {
			t.Errorf("%d logins after a process was killed that had begun %d", n, len(begun))
		}
		check(t, cache.Close(t.Context()))
	}
	t.Logf("%d processes were killed, and cost the next one %d login at most", *kills, most)
}

func countLogins(looker *lookertest.Server) int {
	return looker.Count(lookertest.OpLogin, "") + looker.Count(lookertest.OpLoginUser, "")
}

// identities are those whom a login was begun for.
func identities(looker *lookertest.Server) (begun []lookerauth.Identity) {
	if looker.Count(lookertest.OpLogin, "") > 0 {
		begun = append(begun, lookerauth.ServiceAccount())
	}
	for i := 0; looker.Count(lookertest.OpLoginUser, strconv.Itoa(i)) > 0; i++ {
		begun = append(begun, lookerauth.User(strconv.Itoa(i)))
	}
	return begun
}
