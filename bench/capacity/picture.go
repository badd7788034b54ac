package main

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/lookerauth/lookerauth/bench/internal/svg"
)

const (
	pixel         = svg.Pixel
	width, height = 900 * pixel, 860 * pixel // what a README has room for
	header        = 112 * pixel
)

// look is how a contestant is drawn.
type look struct {
	contestant string
	line       draw.LineStyle
	glyph      draw.GlyphStyle
}

// looks are in the order of drawing. What is drawn later is narrower, so that lines that meet can
// all be seen.
var looks = []look{
	{
		before,
		draw.LineStyle{
			Color: svg.Vermilion, Width: 1.5 * pixel, Dashes: []vg.Length{5 * pixel, 4 * pixel},
		},
		draw.GlyphStyle{Color: svg.Vermilion, Radius: 6 * pixel, Shape: draw.CrossGlyph{}},
	},
	solid("aws-sdk-go-v2", svg.Purple, 4*pixel, 6*pixel, draw.PyramidGlyph{}),
	solid("golang.org/x/oauth2", svg.Green, 2.5*pixel, 5*pixel, draw.BoxGlyph{}),
	solid(ours, svg.Blue, 1.5*pixel, 3.5*pixel, draw.CircleGlyph{}),
}

func solid(name string, c color.Color, width, radius vg.Length, shape draw.GlyphDrawer) look {
	return look{
		name,
		draw.LineStyle{Color: c, Width: width},
		draw.GlyphStyle{Color: c, Radius: radius, Shape: shape},
	}
}

// measure is a row of panels, whose axes of y are logarithmic. What is less than the floor is drawn
// there, as 0, and what is more than the top at the top.
type measure struct {
	name       string
	floor, top float64
	of         func(result) float64
}

var measures = []measure{
	{"requests that waited, %", 0.001, 100, func(r result) float64 { return r.share(r.Waited) }},
	{"longest that a user lacked a token, s", 0.1, 20_000, func(r result) float64 {
		return r.Lacked.Seconds()
	}},
	{"requests that left or failed, %", 0.001, 100, func(r result) float64 {
		return r.share(r.Left + r.Failed)
	}},
}

// share is a number of requests in percent of all.
func (r result) share(n int) float64 { return 100 * float64(n) / float64(max(r.Requests, 1)) }

// picture writes the results as an SVG: a column of panels for each scene.
func picture(w io.Writer, o options, results []result) error {
	canvas := svg.New(width, height)
	drawHeader(canvas, o, results)
	panels := make([][]*plot.Plot, len(measures))
	for i, m := range measures {
		for _, s := range o.scenes {
			p := newPanel(m, o.loads, of(results, s.name))
			p.Title.Text = s.name + ": " + m.name
			if i == len(measures)-1 {
				p.X.Label.Text = "load, %"
			}
			panels[i] = append(panels[i], p)
		}
	}
	tiles := draw.Tiles{
		Rows: len(measures), Cols: len(o.scenes), PadX: 24 * pixel, PadY: 20 * pixel,
		PadTop: header, PadBottom: 6 * pixel, PadLeft: 8 * pixel, PadRight: 20 * pixel,
	}
	for i, row := range plot.Align(panels, tiles, canvas.Canvas) {
		for j, tile := range row {
			panels[i][j].Draw(tile)
		}
	}
	return canvas.Write(w)
}

// drawHeader says what the picture shows: to the left in words, to the right as a legend.
func drawHeader(canvas svg.Canvas, o options, results []result) {
	canvas.Heading("Who waits, before Looker is at its limit?",
		fmt.Sprintf("Looker serves %s at once. A token lives for %v.",
			logins(o.Slots), short(tokenLife)),
		fmt.Sprintf("Users send a request every %v to %v, and %s.",
			short(leastPause), short(mostPause), o.patience()),
		"Load is what their logins take of all that Looker can log in.")
	legend := svg.Legend() // to the right of the heading
	for _, k := range slices.Backward(looks) {
		isThere := func(r result) bool { return r.Contestant == k.contestant }
		if slices.ContainsFunc(results, isThere) {
			legend.Add(k.contestant,
				&plotter.Line{LineStyle: k.line}, &plotter.Scatter{GlyphStyle: k.glyph})
		}
	}
	legend.Draw(draw.Crop(canvas.Canvas, 640*pixel, 0, 0, -8*pixel))
}

// newPanel draws one measure of one scene.
func newPanel(m measure, loads []int, results []result) *plot.Plot {
	p := svg.Panel("")
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, ticks(m)
	p.Add(svg.Grid())
	for _, k := range looks {
		line := points(m, results, k.contestant)
		p.Add(&plotter.Line{XYs: line, LineStyle: k.line},
			&plotter.Scatter{XYs: line, GlyphStyle: k.glyph})
	}
	const step = 20
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, step, m.floor, m.top
	marks := plot.ConstantTicks{{Value: 0, Label: "0"}}
	for load := 0; load < slices.Max(loads); {
		load += step
		p.X.Max = float64(load)
		marks = append(marks, plot.Tick{Value: p.X.Max, Label: strconv.Itoa(load)})
	}
	p.X.Tick.Marker = marks
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Padding = 6 * pixel // what is at 0 shall not stand on the axis
	}
	return p
}

// points is the line of a contestant.
func points(m measure, results []result, contestant string) (line plotter.XYs) {
	for _, r := range results {
		if r.Contestant == contestant {
			y := min(max(m.of(r), m.floor), m.top)
			line = append(line, plotter.XY{X: float64(r.Load), Y: y})
		}
	}
	return line
}

// ticks are the powers of ten, but for the floor, which is 0.
func ticks(m measure) plot.ConstantTicks {
	ticks := plot.ConstantTicks{{Value: m.floor, Label: "0"}}
	lowest := int(math.Round(math.Log10(m.floor)))
	for power := lowest + 1; math.Pow10(power) <= m.top; power++ {
		value := math.Pow10(power)
		ticks = append(ticks, plot.Tick{
			Value: value, Label: strconv.FormatFloat(value, 'f', -1, 64),
		})
	}
	return ticks
}
