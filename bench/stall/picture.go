package main

import (
	"fmt"
	"image/color"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/lookerauth/lookerauth/bench/internal/svg"
)

const (
	pixel         = svg.Pixel
	width, height = 900 * pixel, 720 * pixel // what a README has room for
	header        = 88 * pixel

	lineStep = 50 * time.Millisecond  // the line shows the slowest request of each
	markStep = 200 * time.Millisecond // a cross shows the slowest failure of each; more would merge

	fastest = 0.1 // milliseconds; what is faster is drawn as this
)

var (
	lineColors = []color.Color{svg.Blue, svg.Green, svg.Purple}
	failure    = draw.GlyphStyle{Color: svg.Vermilion, Radius: 4 * pixel, Shape: draw.CrossGlyph{}}
	dashes     = []vg.Length{6 * pixel, 4 * pixel}
	revocation = draw.LineStyle{Color: color.Black, Width: 1.5 * pixel, Dashes: dashes}
)

// picture writes the trials as an SVG: a panel for each, with the same axes.
func picture(w io.Writer, l load, trials []trial) error {
	canvas := svg.New(width, height)
	drawHeader(canvas, l)

	panels := make([][]*plot.Plot, len(trials))
	for i, t := range trials {
		panels[i] = []*plot.Plot{newPanel(l, t, lineColors[i%len(lineColors)], axisTop(trials))}
	}
	lowest := panels[len(panels)-1][0]
	lowest.X.Label.Text, lowest.X.Tick.Marker = "time, seconds", plot.DefaultTicks{}
	tiles := draw.Tiles{
		Rows: len(panels), Cols: 1, PadY: 18 * pixel,
		PadTop: header, PadBottom: 6 * pixel, PadLeft: 8 * pixel, PadRight: 16 * pixel,
	}
	for i, row := range plot.Align(panels, tiles, canvas.Canvas) {
		panels[i][0].Draw(row[0])
	}
	return canvas.Write(w)
}

// drawHeader says what the picture shows: to the left in words, to the right as a legend.
func drawHeader(canvas svg.Canvas, l load) {
	canvas.Heading("Who waits for a login?", fmt.Sprintf(
		"Latency of %.0f requests a second. A token lives for %v, a login takes %v.",
		float64(l.workers)*float64(time.Second/interval), l.tokenLife, l.login))

	legend := svg.Legend() // to the right of the heading
	legend.Add(fmt.Sprintf("slowest request of each %v", lineStep),
		&plotter.Line{LineStyle: svg.Solid(svg.Grey)})
	legend.Add(fmt.Sprintf("slowest failure of each %v", markStep),
		&plotter.Scatter{GlyphStyle: failure})
	legend.Add("a login is under way", &plotter.Polygon{Color: svg.LightGrey})
	legend.Add("all tokens are revoked", &plotter.Line{LineStyle: revocation})
	legend.Draw(draw.Crop(canvas.Canvas, 640*pixel, 0, 0, -8*pixel))
}

// newPanel draws one trial. top is the upper end of the latency axis, in milliseconds.
func newPanel(l load, t trial, c color.Color, top float64) *plot.Plot {
	p := svg.Panel(title(t))
	p.Y.Label.Text = "latency, ms"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.X.Tick.Marker = plot.ConstantTicks{}

	for _, begun := range t.logins {
		from, to := begun.Seconds(), (begun + l.login).Seconds()
		p.Add(&plotter.Polygon{
			XYs: []plotter.XYs{{
				{X: from, Y: fastest}, {X: from, Y: top}, {X: to, Y: top}, {X: to, Y: fastest},
			}},
			Color: svg.LightGrey,
		})
	}
	revoked := t.revoked.Seconds()
	p.Add(
		svg.Grid(),
		&plotter.Line{
			XYs:       plotter.XYs{{X: revoked, Y: fastest}, {X: revoked, Y: top}},
			LineStyle: revocation,
		},
	)
	for _, run := range runs(slowestOfEach(lineStep, t.samples, false)) {
		line := svg.Solid(c)
		line.Width = 1.5 * pixel
		p.Add(&plotter.Line{XYs: run, LineStyle: line})
	}
	p.Add(&plotter.Scatter{XYs: slowestOfEach(markStep, t.samples, true), GlyphStyle: failure})
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, l.duration.Seconds(), fastest, top // the same for all
	return p
}

// title is the outcome in one line, short enough for fonts that are wider than ours.
func title(t trial) string {
	until, from := t.untilRevocation(), t.fromRevocation()
	return fmt.Sprintf("%s: slowest %s, after the revocation %s; %d failed",
		t.name, showSeconds(until.quantile(1)), showSeconds(from.quantile(1)),
		until.failures+from.failures)
}

// slowestOfEach returns the slowest request of each step, of those that failed or of those that did
// not.
func slowestOfEach(step time.Duration, samples []sample, failed bool) (points plotter.XYs) {
	slowest := make(map[time.Duration]sample)
	for _, s := range samples {
		slot := s.due.Truncate(step)
		if known, ok := slowest[slot]; s.failed() == failed && (!ok || s.latency > known.latency) {
			slowest[slot] = s
		}
	}
	for _, slot := range slices.Sorted(maps.Keys(slowest)) {
		s := slowest[slot]
		y := max(milliseconds(s.latency), fastest)
		points = append(points, plotter.XY{X: s.due.Seconds(), Y: y})
	}
	return points
}

// runs cuts the points of the line where it must have a gap, as no request succeeded for a step.
func runs(points plotter.XYs) (runs []plotter.XYs) {
	start := 0
	for i := 1; i <= len(points); i++ {
		if i == len(points) || points[i].X-points[i-1].X > 2*lineStep.Seconds() {
			runs = append(runs, points[start:i])
			start = i
		}
	}
	return runs
}

// axisTop is the next power of ten above the slowest request of all, in milliseconds.
func axisTop(trials []trial) float64 {
	top := 10 * fastest
	for _, t := range trials {
		for _, s := range t.samples {
			top = max(top, milliseconds(s.latency))
		}
	}
	return math.Pow(10, math.Ceil(math.Log10(top)))
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
