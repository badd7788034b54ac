// Package svg is the style that the pictures of the programs here share.
package svg

import (
	"bytes"
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Pixel is one of a browser's.
const Pixel = vg.Inch / 96

// Colours that people with any kind of colour vision can tell apart, by Okabe and Ito.
var (
	Blue      = color.RGBA{0, 114, 178, 255}
	Green     = color.RGBA{0, 158, 115, 255}
	Purple    = color.RGBA{204, 121, 167, 255}
	Vermilion = color.RGBA{213, 94, 0, 255}
	Grey      = color.Gray{96}
	LightGrey = color.Gray{228}
)

// Canvas is what a picture is drawn on.
type Canvas struct {
	draw.Canvas
	svg *vgsvg.Canvas
}

// New returns a white Canvas, and makes its font that of every plot made from now on.
func New(width, height vg.Length) Canvas {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	svg := vgsvg.New(width, height)
	canvas := draw.New(svg)
	canvas.SetColor(color.White) // or it would be black on black in GitHub's dark mode
	canvas.Fill(canvas.Rectangle.Path())
	return Canvas{canvas, svg}
}

// Heading writes the lines below each other at the top left, the first one larger.
func (c Canvas) Heading(title string, lines ...string) {
	style := plot.New().Title.TextStyle
	style.XAlign = draw.XLeft
	corner := vg.Point{X: c.Min.X + 14*Pixel, Y: c.Max.Y - 10*Pixel}
	style.Font.Size = 18 * Pixel
	c.FillText(style, corner, title)
	style.Font.Size = 13 * Pixel
	corner.Y -= 27 * Pixel
	for _, line := range lines {
		c.FillText(style, corner, line)
		corner.Y -= 18 * Pixel
	}
}

// Legend returns an empty legend whose symbols are at the left, so that text may grow where fonts
// are wider.
func Legend() plot.Legend {
	legend := plot.NewLegend()
	legend.Top, legend.Left = true, true
	legend.TextStyle.Font.Size = 13 * Pixel
	legend.Padding = 4 * Pixel
	return legend
}

// Panel returns an empty plot.
func Panel(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = 14 * Pixel
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Padding = 0
		axis.Label.TextStyle.Font.Size = 13 * Pixel
		axis.Tick.Label.Font.Size = 12 * Pixel
	}
	return p
}

// Grid returns horizontal lines.
func Grid() *plotter.Grid { return &plotter.Grid{Horizontal: Solid(LightGrey)} }

// Solid is a thin line.
func Solid(c color.Color) draw.LineStyle { return draw.LineStyle{Color: c, Width: Pixel} }

// Write adds to the only font that the Canvas can name those of the same widths that other machines
// have.
func (c Canvas) Write(w io.Writer) error {
	var out bytes.Buffer
	if _, err := c.svg.WriteTo(&out); err != nil {
		return err
	}
	_, err := w.Write(bytes.ReplaceAll(out.Bytes(), []byte("font-family:Liberation Sans"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")))
	return err
}
