package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tokenLife  = time.Hour                  // Looker's default
	usableLife = tokenLife - 10*time.Second // what lookerauth and x/oauth2 use of it

	lookerURL = "https://looker.example" // nothing is sent there
	loginPath = "/api/4.0/login"         // of login; that of login_user ends in /ID
	service   = -1                       // the user that the service account counts as
)

// looker is a Looker within this process. It serves so many logins at once, and whoever comes
// beyond them waits there: first come, first served. lookerauth never sends more than that, as
// Config.MaxConcurrentLogins tells it to; the others have no limit of their own.
type looker struct {
	start    time.Time
	mean     func(at time.Duration) time.Duration // of the time that logins take then
	workers  chan struct{}
	underWay sync.WaitGroup // logins, the waiting ones among them

	mu    sync.Mutex      // guards what is below
	draws []rand.PCG      // of each user, and of the service account at the end
	begun []time.Duration // when users' logins began to be served, since the start
}

func newLooker(s settings, users int, mean func(time.Duration) time.Duration) *looker {
	l := &looker{
		start:   time.Now(),
		mean:    mean,
		workers: make(chan struct{}, s.Slots),
		draws:   make([]rand.PCG, users+1),
	}
	for i := range l.draws {
		l.draws[i].Seed(s.Seed, uint64(i)<<1|1)
	}
	return l
}

// login serves a user's login. If ctx ends meanwhile nobody gets the answer, but what has begun
// keeps Looker busy to its end.
func (l *looker) login(ctx context.Context, user int) error {
	l.underWay.Add(1)
	select {
	case l.workers <- struct{}{}:
	case <-ctx.Done():
		l.underWay.Done()
		return context.Cause(ctx)
	}
	served := make(chan struct{})
	time.AfterFunc(l.begin(user), func() {
		<-l.workers
		close(served)
		l.underWay.Done()
	})
	select {
	case <-served:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin returns how long a login takes that begins now. The n-th one of a user takes as long for
// every contestant.
func (l *looker) begin(user int) time.Duration {
	now := time.Since(l.start)
	l.mu.Lock()
	defer l.mu.Unlock()
	if user == service {
		user = len(l.draws) - 1
	} else {
		l.begun = append(l.begun, now)
	}
	return loginTime(l.mean(now), rand.New(&l.draws[user]).NormFloat64())
}

// loginTime makes of a normal variate a log-normal one with this mean. One login of 100 takes more
// than three times as long. None takes less than a tenth of it, or more than ten times as long.
func loginTime(mean time.Duration, normal float64) time.Duration {
	const sigma = 0.5335
	factor := math.Exp(sigma*normal - sigma*sigma/2)
	return time.Duration(float64(mean) * min(max(factor, 0.1), 10))
}

// RoundTrip answers lookerauth's login, login_user and logout, which costs no time.
func (l *looker) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	if req.Method == http.MethodDelete {
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
	}
	user := service
	if id, ok := strings.CutPrefix(req.URL.Path, loginPath+"/"); ok {
		var err error
		if user, err = strconv.Atoi(id); err != nil {
			return nil, err
		}
	}
	if err := l.login(req.Context(), user); err != nil {
		return nil, err
	}
	answer := fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":%d}`,
		tokenOf(user), int(tokenLife.Seconds()))
	body := io.NopCloser(strings.NewReader(answer))
	return &http.Response{StatusCode: http.StatusOK, Body: body}, nil
}

// tokenOf is a user's token: every login of a user brings the same one, as nobody looks at it.
func tokenOf(user int) string { return fmt.Sprintf("token-%d", user) }
