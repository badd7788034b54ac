package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot/plotter"

	"github.com/lookerauth/lookerauth/bench/internal/svg"
)

// drawn returns the picture of trials that have these samples.
func drawn(t *testing.T, samples ...sample) string {
	t.Helper()
	var trials []trial
	for _, c := range contestants {
		trials = append(trials, trial{
			name: c.name, samples: samples, revoked: time.Second, logins: []time.Duration{-1, 1},
		})
	}
	var out bytes.Buffer
	if err := picture(&out, defaults, trials); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPictureIsXMLThatNamesEveryone(t *testing.T) {
	refused := sample{due: time.Second, err: errors.New("refused")}
	for _, samples := range [][]sample{nil, {{}}, {{due: 1, latency: time.Minute}, refused}} {
		text := drawn(t, samples...)
		checkNames(t, text)
		decoder := xml.NewDecoder(strings.NewReader(text))
		for {
			_, err := decoder.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v in:\n%s", err, text)
			}
		}
	}
}

func TestTitleFitsWhereFontsAreWider(t *testing.T) {
	const wider = 1.25 // the text begins where it would with our font, so it grows to the right
	for _, c := range contestants {
		const slow = 999 * time.Millisecond
		bad := trial{name: c.name, revoked: time.Second}
		bad.samples = []sample{{latency: slow}, {due: time.Second, latency: slow}}
		for range 9999 {
			bad.samples = append(bad.samples, sample{err: errors.New("refused")})
		}
		p := newPanel(defaults, bad, svg.Grey, 1000)
		half := p.Title.TextStyle.Width(p.Title.Text) / 2
		if end := width/2 - half + 2*half*wider; end > width {
			t.Errorf("%q ends at %v of %v", p.Title.Text, end, width)
		}
	}
}

func TestPictureMarksFailures(t *testing.T) {
	marks := func(text string) int { return strings.Count(text, "#D55E00") }
	without, with := drawn(t, sample{}), drawn(t, sample{err: errors.New("refused")})
	if marks(with) <= marks(without) {
		t.Errorf("%d marks with failures, %d without", marks(with), marks(without))
	}
}

func TestPictureShowsTheSlowestOfEachStep(t *testing.T) {
	refused := errors.New("refused")
	samples := []sample{
		{due: 0, latency: 2 * time.Millisecond},
		{due: lineStep - 1, latency: time.Millisecond},
		{due: lineStep, latency: 0},
		{due: lineStep, latency: time.Second, err: refused},
	}
	want := plotter.XYs{{X: 0, Y: 2}, {X: lineStep.Seconds(), Y: fastest}}
	got := slowestOfEach(lineStep, samples, false)
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLineHasAGapWhereNothingSucceeds(t *testing.T) {
	points := plotter.XYs{{X: 0}, {X: 0.05}, {X: 3}, {X: 3.05}, {X: 3.1}}
	got := runs(points)
	if len(got) != 2 || len(got[0]) != 2 || len(got[1]) != 3 {
		t.Errorf("cut into %v", got)
	}
	if got := runs(nil); len(got) != 0 {
		t.Errorf("nothing cut into %v", got)
	}
}
