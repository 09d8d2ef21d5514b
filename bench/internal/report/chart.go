package report

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// Places in a chart, in pixels.
const (
	chartWidth  = 480
	chartHeight = 320
	chartLeft   = 60
	chartRight  = 20
	chartTop    = 70
	chartBottom = 45
	chartInset  = 45 // of the first point and of the last one, for their labels
)

// chartStyle has colours for a light background and for a dark one.
const chartStyle = `<style>
text { fill: #333; } .grid { stroke: #ddd; } .ours { stroke: #1f6feb; } .beside { stroke: #b35900; } .ours, .beside { fill: none; stroke-width: 2; }
.beside { stroke-dasharray: 6 4; } .spread { stroke-width: 6; stroke-opacity: 0.3; stroke-dasharray: none; }
@media (prefers-color-scheme: dark) { text { fill: #ccc; } .grid { stroke: #444; } .ours { stroke: #58a6ff; } .beside { stroke: #f0a050; } }
</style>
`

// chart is a metric over what grows, both on logarithmic scales: a line through the
// medians of each side, and a bar from the least to the most.
type chart struct {
	b        strings.Builder
	at       []float64
	from, to float64 // powers of ten
}

// chart draws one; not ok where nothing is to be drawn.
func (c Curve) chart(m round.Metric) (svg string, ok bool) {
	d := &chart{}
	ours, beside := d.series(c.Points, m)
	if len(d.at) == 0 || d.from > d.to {
		return "", false
	}
	fmt.Fprintf(&d.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", chartWidth, chartHeight)
	d.b.WriteString(chartStyle)
	fmt.Fprintf(&d.b, `<text x="%d" y="18" font-weight="bold">%s</text>`+"\n", chartLeft, html.EscapeString(c.What))
	fmt.Fprintf(&d.b, `<text x="%d" y="36">%s</text>`+"\n", chartLeft, html.EscapeString(m.Name+", "+m.Unit))
	d.legend("ours", "ours", chartLeft)
	d.legend("beside", c.Beside, chartLeft+90)
	d.grid(c.Points)
	fmt.Fprintf(&d.b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (chartLeft+chartWidth-chartRight)/2, chartHeight-8, html.EscapeString(c.Axis))
	d.line("beside", beside)
	d.line("ours", ours)
	d.b.WriteString("</svg>\n")
	return d.b.String(), true
}

// series takes both sides' values, and finds the scales. What is 0 or less has no place
// on them, and is left out.
func (d *chart) series(points []Point, m round.Metric) (ours, beside []*round.Spread) {
	d.from, d.to = math.Inf(1), math.Inf(-1)
	for _, p := range points {
		r, ok := p.row(m)
		if !ok {
			continue
		}
		d.at = append(d.at, p.At)
		ours, beside = append(ours, d.placed(&r.Ours)), append(beside, d.placed(r.Baseline))
	}
	return ours, beside
}

func (d *chart) placed(s *round.Spread) *round.Spread {
	if s == nil || s.Min <= 0 {
		return nil
	}
	d.from, d.to = min(d.from, math.Floor(math.Log10(s.Min))), max(d.to, math.Ceil(math.Log10(s.Max)))
	return s
}

func (d *chart) legend(class, name string, x int) {
	fmt.Fprintf(&d.b, `<line class="%s" x1="%d" y1="50" x2="%d" y2="50"/><text x="%d" y="54">%s</text>`+"\n", class, x, x+24, x+30, html.EscapeString(name))
}

// grid draws the powers of ten, and what the points are.
func (d *chart) grid(points []Point) {
	for power := d.from; power <= d.to; power++ {
		y := d.y(math.Pow(10, power))
		fmt.Fprintf(&d.b, `<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, chartLeft, y, chartWidth-chartRight, y)
		fmt.Fprintf(&d.b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", chartLeft-6, y+4, figure(math.Pow(10, power)))
	}
	for _, p := range points {
		fmt.Fprintf(&d.b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", d.x(p.At), chartHeight-chartBottom+18, html.EscapeString(p.Label))
	}
}

// x is the place of a point; all have one above 0.
func (d *chart) x(at float64) float64 {
	const width = chartWidth - chartLeft - chartRight - 2*chartInset
	first, last := math.Log10(d.at[0]), math.Log10(d.at[len(d.at)-1])
	if last <= first {
		return chartLeft + chartInset
	}
	return chartLeft + chartInset + width*(math.Log10(at)-first)/(last-first)
}

// y is the place of a value.
func (d *chart) y(value float64) float64 {
	const height = chartHeight - chartTop - chartBottom
	if d.to <= d.from {
		return chartTop + height/2
	}
	return chartTop + height*(d.to-math.Log10(value))/(d.to-d.from)
}

func (d *chart) line(class string, all []*round.Spread) {
	var places []string
	for i, s := range all {
		if s == nil {
			continue
		}
		x := d.x(d.at[i])
		places = append(places, fmt.Sprintf("%.1f,%.1f", x, d.y(s.Median)))
		fmt.Fprintf(&d.b, `<line class="%s spread" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"><title>%s</title></line>`+"\n",
			class, x, d.y(s.Max)-1, x, d.y(s.Min)+1, html.EscapeString(spread(s)))
	}
	fmt.Fprintf(&d.b, `<polyline class="%s" points="%s"/>`+"\n", class, strings.Join(places, " "))
}
