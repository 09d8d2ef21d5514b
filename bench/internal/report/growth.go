package report

import (
	"fmt"
	"io"
	"time"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// Growth is how cost grows with what there is more of.
type Growth struct {
	Program Program   `json:"program,omitzero"`
	Machine Machine   `json:"machine"`
	Rounds  int       `json:"rounds,omitempty"` // of each point
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"` // that it took
	Short   bool      `json:"short"`   // little of everything: the figures say nothing
	Curves  []Curve   `json:"curves"`
}

// Curve is a comparison at several points.
type Curve struct {
	Name   string `json:"name"` // such as size-bus
	What   string `json:"what"`
	Beside string `json:"beside"`
	Note   string `json:"note,omitempty"` // a sentence on the comparison
	Axis   string `json:"axis"`           // what grows
	// Draw are the metrics that are drawn, and in the table for people.
	Draw   []round.Metric `json:"draw"`
	Points []Point        `json:"points,omitempty"`
	Error  string         `json:"error,omitempty"` // why there are no more of them
}

// Point of a curve.
type Point struct {
	At    float64     `json:"at"`    // its place on the axis
	Label string      `json:"label"` // for people
	Rows  []round.Row `json:"rows"`
}

// row gives the figures of a metric; not ok where there are none.
func (p Point) row(m round.Metric) (r round.Row, ok bool) {
	for _, r := range p.Rows {
		if r.Metric == m {
			return r, true
		}
	}
	return r, false
}

// Failed tells how many curves are not whole.
func (g *Growth) Failed() (n int) {
	for _, c := range g.Curves {
		if c.Error != "" {
			n++
		}
	}
	return n
}

// WriteJSON writes all of it.
func (g *Growth) WriteJSON(w io.Writer) error { return write(w, g) }

// ReadGrowth reads what WriteJSON has written.
func ReadGrowth(from io.Reader) (*Growth, error) {
	g := &Growth{}
	return g, read(from, "curves", g)
}

// Charts gives a chart for each metric that is drawn, by the name of its file.
func (g *Growth) Charts() map[string]string {
	all := map[string]string{}
	for _, c := range g.Curves {
		for _, m := range c.Draw {
			if chart, ok := c.chart(m); ok {
				all[c.file(m)] = chart
			}
		}
	}
	return all
}

// file is the name of a metric's chart.
func (c Curve) file(m round.Metric) string {
	name := []byte(c.Name + "-" + m.Name)
	for i, b := range name {
		switch {
		case b >= 'A' && b <= 'Z':
			name[i] = b - 'A' + 'a'
		case (b < 'a' || b > 'z') && (b < '0' || b > '9'):
			name[i] = '-'
		}
	}
	return string(name) + ".svg"
}

// title is what a chart shows.
func (c Curve) title(m round.Metric) string { return fmt.Sprintf("%s: %s, %s", c.What, m.Name, m.Unit) }
