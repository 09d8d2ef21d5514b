package report

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes the figures that have a ratio to reach, as a table for the
// documentation, and below it all others. What there is nothing of has no table.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n", about(r.Began, r.Program, r.Machine, r.rounds()))
	if r.Short {
		b.WriteString(nothing + "\n\n")
	}
	var tables []string
	for _, t := range []struct{ head, rows string }{
		{"| what | beside | | ours | baseline | ratio | to reach |\n| --- | --- | --- | --- | --- | --- | --- |\n", r.rows(true)},
		{"| what | beside | | ours | baseline | ratio |\n| --- | --- | --- | --- | --- | --- |\n", r.rows(false)},
	} {
		if t.rows != "" {
			tables = append(tables, t.head+t.rows)
		}
	}
	b.WriteString(strings.Join(tables, "\n"))
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) rows(withGoal bool) string {
	var b strings.Builder
	for _, x := range r.Results {
		if len(x.Rows) == 0 && len(x.Goals) > 0 == withGoal {
			all := []string{x.What, x.Beside, x.why(), "", "", ""}
			if withGoal {
				all = append(all, goals(x.Goals))
			}
			cells(&b, all...)
		}
		for _, row := range x.Rows {
			if (row.Goal != nil) != withGoal {
				continue
			}
			all := []string{x.What, x.Beside, row.Metric.Name + ", " + row.Metric.Unit, spread(&row.Ours), spread(row.Baseline), spread(row.Ratio)}
			if withGoal {
				all = append(all, strings.TrimSpace(goal(row.Goal)+" "+verdict(row.Reached)))
			}
			cells(&b, all...)
		}
	}
	return b.String()
}

func cells(b *strings.Builder, all ...string) {
	b.WriteString("| " + strings.Join(all, " | ") + " |\n")
}
