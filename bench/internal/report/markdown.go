package report

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes the figures that have a ratio to reach, as a table for the
// documentation, and below it all others.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n", about(r.Began, r.Program, r.Machine, r.rounds()))
	if r.Short {
		b.WriteString(nothing + "\n\n")
	}
	b.WriteString("| what | beside | | ours | baseline | ratio | to reach |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	r.rows(&b, true)
	b.WriteString("\n| what | beside | | ours | baseline | ratio |\n| --- | --- | --- | --- | --- | --- |\n")
	r.rows(&b, false)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) rows(b *strings.Builder, withGoal bool) {
	for _, x := range r.Results {
		if withGoal && len(x.Rows) == 0 && len(x.Goals) > 0 {
			cells(b, x.What, x.Beside, x.why(), "", "", "", goals(x.Goals))
		}
		for _, row := range x.Rows {
			if (row.Goal != nil) != withGoal {
				continue
			}
			all := []string{x.What, x.Beside, row.Metric.Name + ", " + row.Metric.Unit, spread(&row.Ours), spread(row.Baseline), spread(row.Ratio)}
			if withGoal {
				all = append(all, strings.TrimSpace(goal(row.Goal)+" "+verdict(row.Reached)))
			}
			cells(b, all...)
		}
	}
}

func cells(b *strings.Builder, all ...string) {
	b.WriteString("| " + strings.Join(all, " | ") + " |\n")
}
