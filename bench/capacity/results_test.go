package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for share, want := range map[float64]time.Duration{
		0: 1, 0.5: 50, 0.99: 99, 0.991: 100, 1: 100,
	} {
		if got := quantile(hundred, share); got != want {
			t.Errorf("quantile %v is %v, want %v", share, int(got), int(want))
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing it is %v", got)
	}
}

func TestRecordedResultsStandBesideThoseOfTheSameSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "before.json")
	results := []result{
		{Scene: "steady", Load: 45, Contestant: ours, Waited: 1},
		{Scene: "steady", Load: 45, Contestant: "another"},
		{Scene: "steady", Load: 80, Contestant: ours, Waited: 2},
		{Scene: "slower", Load: 45, Contestant: ours, Waited: 3},
	}
	if _, err := record(file, defaults, results); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	now := []result{{Scene: "steady", Load: 80}, {Scene: "slower", Load: 45}}
	old, err := recorded(data, defaults, now)
	want := []result{
		{Scene: "steady", Load: 80, Contestant: before, Waited: 2},
		{Scene: "slower", Load: 45, Contestant: before, Waited: 3},
	}
	if err != nil || !slices.Equal(old, want) {
		t.Errorf("%+v, error %v", old, err)
	}
	other := defaults
	other.Seed++
	if old, err := recorded(data, other, results); err != nil || len(old) > 0 {
		t.Errorf("of another seed: %+v, error %v", old, err)
	}
	if _, err := recorded(data[1:], defaults, results); err == nil {
		t.Error("what is no JSON is no error")
	}
}

func TestTheDefaultRunHasRecordedResultsForAll(t *testing.T) {
	var r recording
	if err := json.Unmarshal(beforeJSON, &r); err != nil {
		t.Fatal(err)
	}
	if r.Settings != defaults {
		t.Errorf("recorded with %+v, the defaults are %+v", r.Settings, defaults)
	}
	loads, err := parseLoads(defaultLoads)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(loads) * len(scenes); len(r.Results) != want {
		t.Errorf("%d results, want %d", len(r.Results), want)
	}
	for _, load := range loads {
		for _, s := range scenes {
			there := func(r result) bool {
				return r.Scene == s.name && r.Load == load &&
					r.Contestant == before && r.Requests > 0
			}
			if !slices.ContainsFunc(r.Results, there) {
				t.Errorf("%s at %d %% is missing", s.name, load)
			}
		}
	}
}

func TestTableHasARowForEachResult(t *testing.T) {
	o := options{settings: defaults, scenes: scenes[:1]}
	o.Slots = 1
	var out strings.Builder
	err := printResults(&out, o, []result{
		{
			Scene: "steady", Load: 80, Users: 5, Contestant: "second", Requests: 6, Waited: 7,
			Median: 1500 * time.Millisecond, P99: 2 * time.Second, Longest: 3 * time.Second,
			Left: 8, Failed: 9, Lacked: 90 * time.Second, LoginsPerLife: 1.006, AllHad: time.Hour,
		},
		{Scene: "slower", Load: 45, Contestant: "elsewhere"},
		{Scene: "steady", Load: 10, Contestant: "first"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const (
		first  = "| 10 % | 0 | first | 0 | 0 | – | – | – | 0 | 0 | – | 0.00 | – |"
		second = "| 80 % | 5 | second | 6 | 7 | 1.5 s | 2.0 s | 3.0 s | 8 | 9 | 90.0 s | 1.01 " +
			"| 60.0 min |"
	)
	text := strings.Join(strings.Fields(out.String()), " ")
	if !strings.HasSuffix(text, "| "+first+" "+second) || strings.Contains(text, "elsewhere") {
		t.Errorf("printed:\n%s", out.String())
	}
	if !strings.Contains(text, "serves 1 login at once") {
		t.Errorf("1 login is more than one:\n%s", out.String())
	}
}

func TestShortDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Hour: "1h", 3 * time.Hour: "3h", 90 * time.Minute: "1h30m", time.Minute: "1m",
		30 * time.Second: "30s", 75 * time.Second: "1m15s", 10 * time.Minute: "10m",
		10 * time.Hour: "10h", time.Hour + time.Second: "1h0m1s", 0: "0s",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
