package lookerauth_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// lines are the events of this name above Debug.
func (l *eventLog) lines(message string) (lines []event) {
	for _, e := range l.all() {
		if e.level > slog.LevelDebug && e.message == "lookerauth: "+message {
			lines = append(lines, e)
		}
	}
	return lines
}

// attr is an attribute of the event; nil if it has none of this name.
func (e event) attr(key string) any {
	for _, attr := range e.attrs {
		if attr.Key == key {
			return attr.Value.Any()
		}
	}
	return nil
}

// counted adds the events' counts up.
func counted(events []event) (n int64) {
	for _, e := range events {
		n += e.attr("count").(int64)
	}
	return n
}

// levels are those of the events.
func levels(events []event) (all []slog.Level) {
	for _, e := range events {
		all = append(all, e.level)
	}
	return all
}

// failures adds up what is counted of failed logins.
func failures(f lookerauth.LoginFailures) uint64 {
	return f.Refused + f.NotFound + f.RateLimited + f.Unavailable + f.Other
}

// askFor has users ask for their tokens every ten seconds.
func askFor10s(cache *lookerauth.Cache, users int, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Second) {
		together(users, func(i int) { _, _ = cache.User(nthUser(i)).Token() })
	}
}

func TestCauseIsOneLineAMinuteHoweverManyMeetIt(t *testing.T) {
	for _, users := range []int{20, 300} {
		t.Run(fmt.Sprint(users), func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				var log eventLog
				cache := newCache(t, looker, withLog(&log))
				accessToken(t, cache.User("somebody else"))
				looker.SetAdmin(false)
				askFor10s(cache, users, 5*time.Minute)
				lines := log.lines("login failed")
				// With the first, nobody knows whether it is that user's own. The second one's
				// line may overtake its.
				want := append([]slog.Level{slog.LevelWarn}, slices.Repeat(
					[]slog.Level{slog.LevelError}, 5)...)
				if got := slices.Sorted(slices.Values(levels(lines))); !slices.Equal(got, want) {
					t.Fatalf("the levels are %v, want %v", got, want)
				}
				if d := lines[1].at.Sub(lines[0].at); d >= time.Minute {
					t.Errorf("the first error came after %v", d)
				}
				for i, e := range lines[2:] {
					if d := e.at.Sub(lines[i+1].at); d < time.Minute {
						t.Errorf("another line after %v", d)
					}
				}

				looker.SetAdmin(true)
				askFor10s(cache, users, 3*time.Minute)
				over := log.lines("logins work again")
				if len(over) != 1 {
					t.Fatalf("%d lines that it is over, want 1:\n%v", len(over), over)
				}
				n := counted(lines) + counted(over)
				if failed := failures(cache.Stats().UserLogins.Failed); uint64(n) != failed {
					t.Errorf("lines tell of %d failures, the figures of %d", n, failed)
				}
				if above := len(log.lines("login failed")); above != len(lines) {
					t.Errorf("%d lines, %d of them when it was over", above, above-len(lines))
				}
			})
		})
	}
}

func TestLevelSaysWhetherCallersAreHarmedInGeneral(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(*testing.T, *lookertest.Server, *lookerauth.Cache)
		want    slog.Level // the highest
	}{
		"the service account, for a caller": {
			func(_ *testing.T, looker *lookertest.Server, cache *lookerauth.Cache) {
				failing(looker, lookertest.OpLogin, answered(403))
				_, _ = cache.User("789").Token()
			}, slog.LevelError,
		},
		"the service account, in the background": {
			func(t *testing.T, looker *lookertest.Server, cache *lookerauth.Cache) {
				accessToken(t, cache.ServiceAccount())
				failing(looker, lookertest.OpLogin, answered(403))
				time.Sleep(59 * time.Minute)
				accessToken(t, cache.ServiceAccount())
				synctest.Wait()
			}, slog.LevelWarn,
		},
		"one user, again and again": {
			func(_ *testing.T, looker *lookertest.Server, cache *lookerauth.Cache) {
				failing(looker, lookertest.OpLoginUser, answered(403))
				for range 10 {
					_, _ = cache.User("789").Token()
					time.Sleep(time.Minute)
				}
			}, slog.LevelWarn,
		},
		"two users, while others are logged in": {
			func(t *testing.T, looker *lookertest.Server, cache *lookerauth.Cache) {
				looker.FailFunc(func(call lookertest.Request) lookertest.Fault {
					if call.UserID == "11" || call.UserID == "12" {
						return answered(403)
					}
					return lookertest.Fault{}
				})
				for i := range 10 {
					_, _ = cache.User(fmt.Sprint(11 + i%2)).Token()
					accessToken(t, cache.User(nthUser(i)))
					time.Sleep(time.Minute)
				}
			}, slog.LevelWarn,
		},
		"two users, while nobody is": {
			func(_ *testing.T, looker *lookertest.Server, cache *lookerauth.Cache) {
				failing(looker, lookertest.OpLoginUser, answered(403))
				for i := range 3 {
					_, _ = cache.User(fmt.Sprint(11 + i%2)).Token()
					time.Sleep(time.Minute)
				}
			}, slog.LevelError,
		},
		"two users, for different reasons": {
			func(_ *testing.T, looker *lookertest.Server, cache *lookerauth.Cache) {
				for i := range 4 {
					fault := []lookertest.Fault{answered(403), answeredBody("<html>")}[i%2]
					failing(looker, lookertest.OpLoginUser, fault)
					_, _ = cache.User(fmt.Sprint(11 + i%2)).Token()
					time.Sleep(time.Minute)
				}
			}, slog.LevelWarn,
		},
		"users that Looker does not know": {
			func(_ *testing.T, looker *lookertest.Server, cache *lookerauth.Cache) {
				setUsers(looker, "789")
				for i := range 10 {
					_, _ = cache.User(nthUser(i)).Token()
					time.Sleep(time.Minute)
				}
			}, slog.LevelWarn,
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				var log eventLog
				cache := newCache(t, looker, withLog(&log))
				test.happens(t, looker, cache)
				got := levels(log.lines("login failed"))
				if len(got) == 0 || slices.Max(got) != test.want {
					t.Errorf("the levels are %v, want %v at most:\n%v", got, test.want, &log)
				}
			})
		})
	}
}

func TestFailureThatHarmsNobodyIsALineInFiveMinutes(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		accessToken(t, cache.ServiceAccount())
		failing(looker, lookertest.OpLogin, answered(403))
		ask := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Second) {
				_, _ = cache.ServiceAccount().Token()
			}
		}
		ask(56 * time.Minute)
		log.check(t, "WARN lookerauth: login failed", 1)
		log.check(t, "ERROR", 0)
		ask(4*time.Minute + 30*time.Second) // the last ones without a token
		log.check(t, "WARN lookerauth: login failed", 1)
		log.check(t, "ERROR lookerauth: login failed", 1) // not a minute later
	})
}

// Each login goes on when those who have begun it have left, and fails for nobody.
func TestOutageThatOutlastsItsCallersIsAnError(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		accessToken(t, cache.ServiceAccount())
		late := answered(503)
		late.Delay = 8 * time.Second
		failing(looker, lookertest.OpLoginUser, late)
		for i := range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := cache.User(nthUser(i)).TokenContext(ctx)
			checkError(t, err, context.DeadlineExceeded)
			cancel()
		}
		time.Sleep(time.Minute)
		lines := log.lines("login failed")
		if len(lines) == 0 || slices.Max(levels(lines)) != slog.LevelError {
			t.Errorf("the lines are %v", lines)
		}
		users := cache.Stats().UserLogins
		if users.Failed.Unavailable != 20 || users.RefreshFailed.Unavailable != 0 {
			t.Errorf("%+v", users)
		}
	})
}

func TestRefreshThatAPausePutsOffHasNotFailed(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		useUsers(t, cache, 3)
		time.Sleep(56 * time.Minute) // all are aging
		looker.FailNext(lookertest.OpLogin, rateLimited("120"))
		accessToken(t, cache.ServiceAccount())
		synctest.Wait()
		useUsers(t, cache, 3)
		synctest.Wait()
		log.check(t, "WARN lookerauth: logins paused pause=2m0s", 1)
		if lines := log.lines("login failed"); len(lines) != 1 || lines[0].attr("op") != "login" {
			t.Errorf("the lines are %v, want the one login that Looker was asked for", lines)
		}
		checkFailing(t, cache.Health().Users, nil, time.Time{})
	})
}

// It comes back before anybody has seen that it is over.
func TestFailuresThatComeAndGoAreOneCause(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		for i := range 20 {
			failNext(looker, 1, lookertest.OpLoginUser, answered(400))
			_, _ = cache.User(nthUser(i)).Token()
			accessToken(t, cache.User(nthUser(100+i)))
			time.Sleep(15 * time.Second)
		}
		log.check(t, "logins work again", 0)
		if n := len(log.lines("login failed")); n != 1 {
			t.Errorf("%d lines in five minutes that harm not in general, want 1", n)
		}
		time.Sleep(time.Minute)
		accessToken(t, cache.User("789"))
		log.check(t, "logins work again", 1)
	})
}

func TestStepsOfTheClockHideNothing(t *testing.T) {
	for _, step := range []time.Duration{-48 * time.Hour, 48 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, looker *lookertest.Server) {
				var log eventLog
				clock := &steppedClock{}
				cache := newCache(t, looker, withLog(&log), withClock(clock))
				failing(looker, lookertest.OpLoginUser, answered(503))
				askFor10s(cache, 2, 90*time.Second)
				before := len(log.lines("login failed"))
				clock.step(step)
				askFor10s(cache, 2, 90*time.Second)
				if n := len(log.lines("login failed")) - before; n < 1 || n > 3 {
					t.Errorf("%d lines in the minutes after the step:\n%v", n, &log)
				}
				log.check(t, "logins work again", 0)
				if cache.Health().Users.Err == nil {
					t.Error("Health is well")
				}
				healthy(looker)
				time.Sleep(time.Minute)
				accessToken(t, cache.User("789"))
				clock.step(-step)
				time.Sleep(time.Minute)
				accessToken(t, cache.User("790"))
				log.check(t, "logins work again", 1)
				if err := cache.Health().Users.Err; err != nil {
					t.Errorf("Health is not well: %v", err)
				}
			})
		})
	}
}

func TestBurstsAreOneLineAndTheirNumber(t *testing.T) {
	const users = 100
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log), maxUsers(users))
		use := func(first int) {
			together(users, func(i int) {
				_, _ = cache.User(nthUser(first + i)).Token()
			})
		}
		use(0)
		failing(looker, lookertest.OpLogout, answered(403))
		use(users) // evicts those before, whose logouts fail
		together(users, func(i int) { invalidate(t, cache.User(nthUser(users+i))) })
		synctest.Wait()
		for _, message := range []string{"token rejected", "logout failed"} {
			if lines := log.lines(message); len(lines) != 1 || counted(lines) != 1 {
				t.Errorf("the lines before Close are %v, want one", lines)
			}
		}
		evictions := func() string {
			return fmt.Sprint(regexp.MustCompile(`user evicted .* (count=\d+)\n`).
				FindAllStringSubmatch(log.String(), -1))
		}
		if n := strings.Count(evictions(), " evicted "); n != 1 {
			t.Errorf("%d lines of evictions before Close, want one", n)
		}

		_ = cache.Close(t.Context())
		stats := cache.Stats()
		for message, want := range map[string]uint64{
			"token rejected": stats.Rejections, "logout failed": stats.FailedLogouts,
		} {
			if lines := log.lines(message); len(lines) != 2 || counted(lines) != int64(want) {
				t.Errorf("%v tell not of %d", lines, want)
			}
		}
		if n := strings.Count(evictions(), " evicted "); n != 2 {
			t.Errorf("%d lines of evictions, want two", n)
		}
		log.check(t, fmt.Sprintf(" count=%d\n", users-1), 2) // of rejections and evictions
		if all := log.all(); all[len(all)-1].message != "lookerauth: closed" {
			t.Errorf("the last line is %v", all[len(all)-1])
		}
		if stats.Evictions != users || stats.FailedLogouts != 2*users+1 {
			t.Errorf("%d evictions, %d failed logouts", stats.Evictions, stats.FailedLogouts)
		}
	})
}

func TestRejectionsAreToldByWhatRejects(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		accessToken(t, cache.User("789"))
		looker.RevokeAll()
		answersAs(t, cache.User("789").Client(), looker, "789")
		invalidate(t, cache.User("789"))
		log.check(t, "token rejected identity=user:789 by=request count=1\n", 1)
		log.check(t, "token rejected identity=service_account by=login count=1\n", 1)
		log.check(t, "token rejected identity=user:789 by=invalidate count=1\n", 1)
	})
}

func TestPauseIsToldWithItsLengthAndIsEverybodys(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		accessToken(t, cache.ServiceAccount())
		looker.FailNext(lookertest.OpLoginUser, rateLimited("600"))
		askFor10s(cache, 200, 4*time.Minute)
		log.check(t, "WARN lookerauth: logins paused pause=5m0s count=1\n", 1)
		lines := log.lines("login failed")
		if len(lines) > 5 || slices.Max(levels(lines)) != slog.LevelError {
			t.Errorf("the lines are %v, want five at most, and an error", lines)
		}
		if got := cache.Stats().UserLogins.Failed; got != limited {
			t.Errorf("%+v were counted, want the one login", got)
		}
		time.Sleep(time.Minute)
		askFor10s(cache, 200, 2*time.Minute)
		log.check(t, "logins work again", 1)
	})
}

func TestRefusalsWithinAPauseAreNoFurtherOnes(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		accessToken(t, cache.ServiceAccount())
		fault := rateLimited("240")
		fault.Delay = time.Second
		looker.FailNext(lookertest.OpLoginUser, fault, fault, fault)
		together(3, func(i int) {
			failsWith(t, cache.User(nthUser(i)), lookerauth.ErrRateLimited)
		})
		closeCache(t, cache)
		log.check(t, "logins paused", 1)
		log.check(t, "logins paused pause=4m0s count=1\n", 1)
	})
}

// Looker, or a proxy before it, may answer anything.
func TestCausesAreFewWhateverLookerAnswers(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var log eventLog
		cache := newCache(t, looker, withLog(&log))
		for status := 300; status < 600; status++ {
			fault := answered(status)
			fault.Body = fmt.Sprintf(`{"message": "for the %dth time"}`, status)
			failing(looker, lookertest.OpLoginUser, fault)
			_, _ = cache.User(nthUser(status)).Token()
		}
		causes := make(map[string]bool)
		for _, e := range log.lines("login failed") {
			causes[fmt.Sprint(e.attr("op"), e.attr("reason"))] = true
		}
		if len(causes) != 5 {
			t.Errorf("the causes are %v, want one for each field of LoginFailures", causes)
		}
	})
}

// A Logger that looks at the Cache finds no lock held, nor does a Clock.
func TestLoggerAndClockMayLookAtTheCache(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		var cache *lookerauth.Cache
		look := func() {
			if cache != nil {
				_, _ = cache.Stats(), cache.Health()
			}
		}
		clock := &curiousClock{look: look}
		log := handlerFunc(func(context.Context, slog.Record) { look() })
		cache = newCache(t, looker, withLog(log), withClock(clock), maxUsers(1))
		useUsers(t, cache, 3)
		failing(looker, lookertest.OpLogout, answered(http.StatusForbidden))
		invalidate(t, cache.User(nthUser(2)))
		failing(looker, lookertest.OpLoginUser, rateLimited("600"))
		_, _ = cache.User("1").Token()
		_, _ = cache.User("2").Token()
		healthy(looker)
		time.Sleep(10 * time.Minute)
		useUsers(t, cache, 3)
		_ = cache.Close(t.Context())
	})
}

// curiousClock looks at the Cache whenever it is asked, but for what it asks for itself.
type curiousClock struct {
	steppedClock
	look    func()
	looking atomic.Bool
}

func (c *curiousClock) Now() time.Time {
	if c.looking.CompareAndSwap(false, true) {
		c.look()
		c.looking.Store(false)
	}
	return c.steppedClock.Now()
}

func TestHealthNeedsNoLogger(t *testing.T) {
	simulate(t, func(t *testing.T, looker *lookertest.Server) {
		cache := newCache(t, looker)
		failing(looker, lookertest.OpLogin, answered(403))
		_, err := cache.User("789").Token()
		if got := cache.Health().ServiceAccount.Err; got != err || !strings.Contains(
			fmt.Sprint(got), "403") {
			t.Errorf("Health has %v, want %v", got, err)
		}
	})
}
