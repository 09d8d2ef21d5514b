package report

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes a table for each curve, for the documentation, and its charts,
// which are beside it.
func (g *Growth) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# How cost grows\n\n%s. Median, and least and most of all rounds; the bars in the plots are from the least to the most.\n",
		about(g.Began, g.Program, g.Machine, roundsOf(g.Rounds, "point")))
	if g.Short {
		b.WriteString("\n" + nothing + "\n")
	}
	for _, c := range g.Curves {
		c.section(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c Curve) section(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", c.What, strings.TrimSpace("Beside "+c.Beside+". "+c.Note))
	if c.Error != "" {
		fmt.Fprintf(b, "It could not be measured to its end: %s\n\n", c.Error)
	}
	head := []string{c.Axis}
	for _, m := range c.Draw {
		head = append(head, m.Name+", "+m.Unit, "baseline", "ratio")
	}
	cells(b, head...)
	b.WriteString(strings.Repeat("| --- ", len(head)) + "|\n")
	for _, p := range c.Points {
		line := []string{p.Label}
		for _, m := range c.Draw {
			r, ok := p.row(m)
			if !ok {
				line = append(line, "-", "-", "-")
				continue
			}
			line = append(line, spread(&r.Ours), spread(r.Baseline), spread(r.Ratio))
		}
		cells(b, line...)
	}
	b.WriteString("\n")
	for _, m := range c.Draw {
		if _, ok := c.chart(m); ok {
			fmt.Fprintf(b, "![%s](%s)\n", c.title(m), c.file(m))
		}
	}
}
