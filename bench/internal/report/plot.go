package report

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// Places in the plot, in pixels.
const (
	plotLabels = 400 // width of the labels
	plotWidth  = 900
	plotMargin = 20
	plotTop    = 40
	plotLine   = 40 // height of a line, which has two of text
)

// WritePlot draws the ratios that are to be reached, as SVG: a line a figure, on a
// logarithmic scale, with a bar from the least to the most of all rounds, a dot at the
// median, and a mark at the ratio to reach.
func (r *Report) WritePlot(w io.Writer) error {
	p := plot{}
	for _, x := range r.Results {
		for _, row := range x.Rows {
			if row.Goal != nil && row.Ratio != nil {
				p.lines = append(p.lines, plotted{labelOf(x, row), row})
			}
		}
	}
	p.scale()
	_, err := io.WriteString(w, p.draw())
	return err
}

type plotted struct {
	label label
	row   round.Row
}

type plot struct {
	lines    []plotted
	from, to float64 // powers of ten
}

// scale finds the axis: from 0.1 to 10 at the least, and whole powers of ten.
func (p *plot) scale() {
	p.from, p.to = -1, 1
	for _, l := range p.lines {
		for _, v := range []float64{l.row.Ratio.Min, l.row.Ratio.Max, l.row.Goal.Ratio} {
			if v > 0 {
				p.from, p.to = min(p.from, math.Floor(math.Log10(v))), max(p.to, math.Ceil(math.Log10(v)))
			}
		}
	}
}

// x is the place of a ratio. One that is 0 is at the left end.
func (p *plot) x(ratio float64) float64 {
	const width = plotWidth - plotLabels - plotMargin
	at := p.from
	if ratio > 0 {
		at = math.Log10(ratio)
	}
	return plotLabels + width*(at-p.from)/(p.to-p.from)
}

func (p *plot) draw() string {
	var b strings.Builder
	height := plotTop + plotLine*len(p.lines) + plotMargin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, height)
	for power := p.from; power <= p.to; power++ {
		ratio := math.Pow(10, power)
		colour := "#ddd"
		if power == 0 {
			colour = "#888"
		}
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>`+"\n", p.x(ratio), plotTop-10, p.x(ratio), height-plotMargin, colour)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", p.x(ratio), plotTop-16, digits(ratio))
	}
	for i, l := range p.lines {
		p.drawLine(&b, l, plotTop+plotLine*i+plotLine/2)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (p *plot) drawLine(b *strings.Builder, l plotted, y int) {
	colour := "#c0392b"
	if l.row.Reached != nil && *l.row.Reached {
		colour = "#1e8449"
	}
	ratio := l.row.Ratio
	for i, text := range []string{l.label.first, l.label.second} {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotLabels-labelGap, y-4+16*i, html.EscapeString(text))
	}
	fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s" stroke-width="3"/>`+"\n", p.x(ratio.Min), y, p.x(ratio.Max), y, colour)
	fmt.Fprintf(b, `<circle cx="%.1f" cy="%d" r="5" fill="%s"><title>%s, to reach: %s</title></circle>`+"\n",
		p.x(ratio.Median), y, colour, html.EscapeString(spread(ratio)), html.EscapeString(goal(l.row.Goal)))
	fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="black" stroke-width="2"/>`+"\n", p.x(l.row.Goal.Ratio), y-8, p.x(l.row.Goal.Ratio), y+8)
}
