package report

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// leastShare is how much of a case's CPU time a process has that is shown with its
// functions.
const leastShare = 0.04

// Tops is what takes the time in the processes of a case, by their profiles.
type Tops struct {
	Case    string
	Note    string // of what it is, such as a commit; may be empty
	At      time.Time
	Machine Machine
	All     []Top
}

// Top is one process.
type Top struct {
	process string
	used    string        // CPU time, and which part of the time that passed; or memory
	took    time.Duration // CPU time; 0 where that is not what was profiled
	own     string        // functions by their own
	all     string        // functions by theirs and that of what they call
}

// TopOf takes apart what `pprof -top` prints, and what it does with -cum. What it says of
// the file is left out: it differs from one machine to the next.
func TopOf(process, own, all string) Top {
	t := Top{process: process}
	t.used, t.own = functions(own)
	_, t.all = functions(all)
	first, _, _ := strings.Cut(t.used, " ")
	t.took, _ = time.ParseDuration(first) // 0 for memory
	return t
}

// total is in the line of CPU profiles that has all samples, ofTotal in that of others.
var (
	total   = regexp.MustCompile(`Total samples = (.*)`)
	ofTotal = regexp.MustCompile(`Showing nodes accounting for .* of (.*) total`)
	shapes  = regexp.MustCompile(`\[go\.shape\.[^\]]*\]`)
)

// functions splits what was printed into how much there is of all, and the table.
func functions(printed string) (used, table string) {
	for _, of := range []*regexp.Regexp{ofTotal, total} {
		if m := of.FindStringSubmatch(printed); m != nil {
			used = strings.TrimSpace(m[1])
		}
	}
	_, table, found := strings.Cut(printed, "cum%\n")
	if !found {
		table = printed
	}
	return used, shapes.ReplaceAllString(table, "[…]")
}

// Write writes them, who uses the most first. Who uses little is in the list alone.
func (t *Tops) Write(w io.Writer) error {
	slices.SortStableFunc(t.All, func(a, b Top) int {
		return cmp.Or(cmp.Compare(b.took, a.took), strings.Compare(a.process, b.process))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%s: CPU time of each process, and the part of the time that passed\n", t.Case)
	if t.Note != "" {
		fmt.Fprintln(&b, t.Note)
	}
	fmt.Fprintf(&b, "%s; %s\n\n", t.At.UTC().Format("2006-01-02"), t.Machine)
	sum := time.Duration(0)
	for _, top := range t.All {
		sum += top.took
		fmt.Fprintf(&b, "%-20s %s\n", top.process, top.used)
	}
	for _, top := range t.All {
		if top.took == 0 && top.used != "0" || float64(top.took) > leastShare*float64(sum) {
			top.write(&b)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t Top) write(b *strings.Builder) {
	const head = "      flat  flat%   sum%        cum   cum%\n"
	fmt.Fprintf(b, "\n%s, by what is spent in the function itself\n%s%s", t.process, head, t.own)
	fmt.Fprintf(b, "\n%s, by what is spent in the function and in what it calls\n%s%s", t.process, head, t.all)
}
