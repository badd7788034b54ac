package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot/plotter"

	"github.com/lookerauth/lookerauth/bench/internal/svg"
)

// drawn returns the picture of these results.
func drawn(t *testing.T, results ...result) string {
	t.Helper()
	var out bytes.Buffer
	o := options{settings: defaults, scenes: scenes, loads: []int{10, 95}}
	if err := picture(&out, o, results); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPictureIsXML(t *testing.T) {
	for _, results := range [][]result{
		nil,
		{{Scene: "steady", Contestant: ours}},
		{
			{Scene: "steady", Load: 10, Contestant: ours, Requests: 1, Lacked: 24 * time.Hour},
			{Scene: "slower", Load: 95, Contestant: before, Requests: 3, Waited: 2, Failed: 3},
		},
	} {
		text := drawn(t, results...)
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

func TestEveryContestantHasALook(t *testing.T) {
	names := []string{before}
	for _, c := range contestants {
		names = append(names, c.name)
	}
	for _, name := range names {
		if !slices.ContainsFunc(looks, func(k look) bool { return k.contestant == name }) {
			t.Errorf("%s has none", name)
		}
	}
	if len(looks) != len(names) {
		t.Errorf("%d looks of %d contestants", len(looks), len(names))
	}
}

func TestLegendNamesWhoIsThere(t *testing.T) {
	text := drawn(t, result{Scene: "steady", Load: 10, Contestant: ours})
	if !strings.Contains(text, ours) || strings.Contains(text, before) {
		t.Error("not the one contestant, and no other, is named")
	}
}

func TestPictureShowsShares(t *testing.T) {
	r := result{Contestant: ours, Load: 80, Requests: 200, Waited: 20, Left: 3, Failed: 1,
		Lacked: 90 * time.Second}
	none := result{Contestant: ours, Load: 95}
	most := result{Contestant: ours, Load: 120, Requests: 1, Waited: 1, Left: 1,
		Lacked: 24 * time.Hour}
	for i, want := range []float64{10, 90, 2} {
		m := measures[i]
		got := points(m, []result{r, {Contestant: before}, none, most}, ours)
		all := plotter.XYs{{X: 80, Y: want}, {X: 95, Y: m.floor}, {X: 120, Y: m.top}}
		if !slices.Equal(got, all) {
			t.Errorf("%s: %v, want %v, 0 and the top", m.name, got, want)
		}
	}
}

func TestAxisHasItsFloorForZero(t *testing.T) {
	var labels []string
	for _, tick := range ticks(measure{floor: 0.01, top: 100}) {
		labels = append(labels, tick.Label)
	}
	if want := []string{"0", "0.1", "1", "10", "100"}; !slices.Equal(labels, want) {
		t.Errorf("%v, want %v", labels, want)
	}
}

func TestTitlesFitWhereFontsAreWider(t *testing.T) {
	svg.New(width, height) // which sets the font
	const wider = 1.25     // the text begins where it would with our font, so it grows to the right
	for _, s := range scenes {
		for _, m := range measures {
			p := newPanel(m, []int{10}, nil)
			text := p.Title.TextStyle.Width(s.name + ": " + m.name)
			if end := width/4 + text*(wider-0.5); end > width/2 {
				t.Errorf("%s: %q ends at %v of %v", s.name, m.name, end, width/2)
			}
		}
	}
}
