package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peerbus/peerbus/internal/numbered"
)

// table prints rows below a heading, in columns.
func table(w io.Writer, heading []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, r := range append([][]string{heading}, rows...) {
		if _, err := fmt.Fprintln(t, strings.Join(r, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// print writes the report for people.
func (r *report) print(w io.Writer) error {
	var rows [][]string
	for _, x := range append(r.Rows, r.total()) {
		rows = append(rows, []string{
			x.Fault, number(x.Times), number(x.Lost), number(x.Doubled), number(x.Reordered), seconds(x.Pause), seconds(x.Held),
		})
	}
	if err := table(w, []string{"FAULT", "TIMES", "LOST", "DOUBLED", "REORDERED", "LONGEST PAUSE", "HELD"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprint(w, r.summary())
	return err
}

func (r *report) total() row {
	total := row{Fault: "all", Times: r.Faults, Lost: r.Lost, Doubled: r.Doubled, Reordered: r.Reordered}
	for _, x := range r.Rows {
		if x.Pause > total.Pause {
			total.Pause, total.Held = x.Pause, x.Held
		}
	}
	return total
}

func (r *report) summary() string {
	return fmt.Sprintf("\n%d faults in %.0f s, seed %d\n", r.Faults, r.Seconds, r.Seed) + r.counts()
}

// counts says what became of the messages.
func (r *report) counts() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages accepted, %d handed over to bob and %d to alice; %d came direct, %d over the Message Node\n",
		r.Accepted, r.HandedTo[0], r.HandedTo[1], r.Over[numbered.Direct], r.Over[numbered.Relayed])
	for _, text := range slices.Sorted(maps.Keys(r.Refused)) {
		fmt.Fprintf(&b, "refused %d times: %s\n", r.Refused[text], text)
	}
	for _, line := range append(r.Incidents, r.Failures...) {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

func number(n int) string { return fmt.Sprint(n) }

func seconds(s float64) string {
	if s == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f s", s)
}

// printJSON writes anything as one line.
func printJSON(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

// progress says what happens, as it happens.
type progress struct {
	out   io.Writer
	began time.Time
}

func (p *progress) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, "%8.1f s  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}
