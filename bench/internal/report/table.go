package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// WriteTable writes all figures for people.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%.0f s; median, and minimum and maximum of all rounds\n\n", about(r.Began, r.Program, r.Machine, r.rounds()), r.Seconds)
	t := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	line(t, "CASE", "METRIC", "UNIT", "OURS", "BASELINE", "RATIO", "TO REACH", "")
	for _, x := range r.Results {
		x.lines(t)
	}
	_ = t.Flush() // into memory
	if r.Short {
		b.WriteString("\n" + nothing + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func line(w io.Writer, cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) }

func (x Result) lines(w io.Writer) {
	for i, row := range x.Rows {
		name := ""
		if i == 0 {
			name = x.Name
		}
		line(w, name, row.Metric.Name, row.Metric.Unit, spread(&row.Ours), spread(row.Baseline), spread(row.Ratio), goal(row.Goal), verdict(row.Reached))
	}
	if len(x.Rows) == 0 {
		line(w, x.Name, x.why(), "", "", "", "", goals(x.Goals), "")
	}
}

// why says why there are no figures.
func (x Result) why() string {
	switch {
	case x.Error != "":
		return "failed"
	case x.Missing != "":
		return "not built"
	default:
		return "not measured"
	}
}

func goals(all []round.Goal) string {
	var texts []string
	for _, g := range all {
		texts = append(texts, goal(&g))
	}
	return strings.Join(texts, ", ")
}
