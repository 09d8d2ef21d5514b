package report

import (
	"fmt"
	"time"
)

// nothing is what is said of a short run.
const nothing = "This was a short run: the figures say nothing."

// about is the line above figures: when, of what, where, and how often. What a report of
// before does not tell is left out.
func about(began time.Time, p Program, m Machine, rounds string) string {
	text := began.UTC().Format("2006-01-02")
	for _, part := range []string{p.String(), m.String(), rounds} {
		if part != "" {
			text += "; " + part
		}
	}
	return text
}

// rounds are those of the cases, of which some have fewer than others.
func (r *Report) rounds() string {
	least, most := 0, 0
	for _, x := range r.Results {
		if x.Rounds == 0 || len(x.Rows) == 0 {
			continue
		}
		if least == 0 {
			least = x.Rounds
		}
		least, most = min(least, x.Rounds), max(most, x.Rounds)
	}
	if least == most {
		return roundsOf(most, "case")
	}
	return fmt.Sprintf("%d to %d rounds of each case", least, most)
}

// roundsOf is empty where the number is not known.
func roundsOf(n int, each string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 round of each " + each
	default:
		return fmt.Sprintf("%d rounds of each %s", n, each)
	}
}
