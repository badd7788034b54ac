package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoadIsAShareOfWhatLookerCanLogIn(t *testing.T) {
	for _, test := range []struct{ percent, slots, want int }{
		{100, 4, 28_800},
		{100, 1, 7200},
		{45, 2, 6480},
		{1, 1, 72},
	} {
		if got := usersFor(test.percent, test.slots); got != test.want {
			t.Errorf("%d %% of %d slots are %d users, want %d",
				test.percent, test.slots, got, test.want)
		}
	}
}

func TestLoginsGetTenTimesSlowerOnce(t *testing.T) {
	steady, slower := scenes[0], scenes[1]
	for _, test := range []struct {
		at             time.Duration
		steady, slower time.Duration
	}{
		{0, meanLogin, meanLogin / 10},
		{10*time.Minute - 1, meanLogin, meanLogin / 10},
		{10 * time.Minute, meanLogin, meanLogin},
		{3 * time.Hour, meanLogin, meanLogin},
	} {
		if got := steady.mean(test.at); got != test.steady {
			t.Errorf("%s at %v: %v, want %v", steady.name, test.at, got, test.steady)
		}
		if got := slower.mean(test.at); got != test.slower {
			t.Errorf("%s at %v: %v, want %v", slower.name, test.at, got, test.slower)
		}
	}
}

// brief simulates little: 144 users for an hour and 10 minutes.
func brief(c contestant, s scene) *trial {
	o := settings{Slots: 1, Length: 70 * time.Minute, Deadline: 30 * time.Second, Seed: 1}
	return newTrial(o, s, 2, c)
}

// instant is a contestant that gives a token at once, but for what f does before.
func instant(f func(ctx context.Context, user int) error) contestant {
	start := func(*looker, settings, int) (getter, func(), error) { return f, func() {}, nil }
	return contestant{"instant", start}
}

func TestUsersSendARequestEvery45To75Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		sent := make(map[int][]time.Duration)
		trial := brief(instant(func(_ context.Context, user int) error {
			trialTime := time.Since(begun)
			lock <- struct{}{}
			sent[user] = append(sent[user], trialTime)
			<-lock
			return nil
		}), scenes[0])
		r, err := trial.run()
		if err != nil {
			t.Fatal(err)
		}
		if len(sent) != 144 || r.Users != 144 {
			t.Fatalf("%d of %d users sent requests, want 144", len(sent), r.Users)
		}
		counted := 0
		for user, times := range sent {
			if times[0] >= time.Minute {
				t.Errorf("user %d came after %v", user, times[0])
			}
			for i, at := range times {
				if at >= time.Hour {
					counted++
				}
				if i == 0 {
					continue
				}
				pause := at - times[i-1]
				if pause < 45*time.Second-tick || pause > 75*time.Second {
					t.Errorf("user %d paused for %v", user, pause)
				}
			}
			last := times[len(times)-1]
			if last < trial.Length-75*time.Second || last >= trial.Length {
				t.Errorf("user %d stopped after %v", user, last)
			}
		}
		if r.Requests != counted || r.Waited+r.Left+r.Failed != 0 {
			t.Errorf("counted %+v, want %d requests and no more", r, counted)
		}
	})
}

// lock guards what instants note.
var lock = make(chan struct{}, 1)

func TestWaitsAreCountedFromTheEndOfTheColdStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r, err := brief(instant(func(ctx context.Context, user int) error {
			at := time.Since(begun)
			switch {
			case user == 0 && at < time.Hour:
				return errors.New("not yet")
			case user == 1:
				<-ctx.Done()
				return ctx.Err()
			case user == 2 && at >= time.Hour:
				time.Sleep(time.Second)
			case user == 3 && at >= time.Hour:
				time.Sleep(2 * time.Second)
				return errors.New("refused")
			}
			return nil
		}), scenes[0]).run()
		if err != nil {
			t.Fatal(err)
		}
		each := (r.Requests + r.Users/2) / r.Users // of a user, more or less
		near := func(n, want int) bool { return n >= want-2 && n <= want+2 }
		if each < 8 || each > 11 || !near(r.Left, each) || !near(r.Failed, each) ||
			!near(r.Waited, 3*each) || r.Longest != 30*time.Second || r.AllHad != 0 {
			t.Errorf("%+v, want that about %d left, as many failed, and three times as many waited",
				r, each)
		}
		if r.Lacked != 10*time.Minute {
			t.Errorf("a user lacked a token for %v, want all that is counted", r.Lacked)
		}
	})
}

func TestWhatComesOfRequests(t *testing.T) {
	refused := errors.New("refused")
	const second, minute = time.Second, time.Minute
	trial := newTrial(defaults, scene{from: minute}, 1, contestants[0])
	trial.have(2)
	trial.Length, trial.Deadline = 10*minute, 30*second
	trial.note(0, 0, second, nil)                // not counted
	trial.note(1, 50*second, 30*second, refused) // neither, but he lacks a token
	trial.note(0, minute, 0, nil)
	trial.note(0, 2*minute, 0, nil)
	trial.note(0, 3*minute, 29*second, refused)      // failed
	trial.note(1, 4*minute, 5*second, nil)           // had none since 1 minute
	trial.note(0, 4*minute, 30*second, refused)      // left
	trial.note(0, 5*minute, 3*second, nil)           // had none since 3 minutes
	trial.note(1, 6*minute, 20*time.Minute, refused) // left, and x/oauth2 went on
	trial.note(1, 7*minute, 0, nil)
	trial.note(0, 8*minute, 30*second, refused) // left, and has none to the end

	got := trial.result([]time.Duration{0, minute - 1, minute, 9 * minute, 10 * minute})
	want := result{
		Load: 1, Users: 2, Contestant: "lookerauth",
		Requests: 9, Waited: 6, Failed: 1, Left: 3,
		Median: 29 * second, P99: 30 * second, Longest: 30 * second,
		Lacked: 3*minute + 5*second,
		Logins: 2, LoginsPerLife: 2 / (2 * 9 * 60 / 3590.0),
		AllHad: 4*minute + 5*second,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	trial.note(1, 6*minute, 30*second, refused) // told after he had one
	if lacked := trial.result(nil).Lacked; lacked != want.Lacked {
		t.Errorf("%v, want %v: what was told late is no lack", lacked, want.Lacked)
	}
}

func TestTrialEndsOnceLookerIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last *looker
		start := func(l *looker, _ settings, _ int) (getter, func(), error) {
			last = l
			get := func(_ context.Context, user int) error {
				if time.Since(l.start) > 69*time.Minute {
					l.underWay.Go(func() { _ = l.login(context.Background(), user) })
				}
				return nil
			}
			return get, func() {}, nil
		}
		trial := brief(contestant{"instant", start}, scenes[0])
		if _, err := trial.run(); err != nil {
			t.Fatal(err)
		}
		if busy := len(last.workers); busy > 0 || len(last.begun) < 100 {
			t.Errorf("%d logins, %d of them under way", len(last.begun), busy)
		}
	})
}

func TestSimulationsOfOneSeedAreTheSame(t *testing.T) {
	oauth2 := contestants[1]
	var results [2]result
	for i := range results {
		synctest.Test(t, func(t *testing.T) {
			var err error
			if results[i], err = brief(oauth2, scenes[1]).run(); err != nil {
				t.Error(err)
			}
		})
	}
	if results[0] != results[1] || results[0].Waited == 0 {
		t.Errorf("got  %+v\nthen %+v", results[0], results[1])
	}
}
