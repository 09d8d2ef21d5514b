package sequence

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reached is a step, and when it was reached; the zero time if it was not.
type Reached struct {
	Step
	Time time.Time
}

// Find looks for the steps in a trace, each one behind the one before it. The
// events need not be in order: the logs of several processes are joined.
func Find(events []Event, runtimeOfA, runtimeOfB string) []Reached {
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(x, y Event) int { return x.Time.Compare(y.Time) })
	s := newScene(runtimeOfA, runtimeOfB)
	var found []Reached
	from := 0
	for _, step := range Steps() {
		r := Reached{Step: step}
		start := from
		if step.Optional {
			start = 0
		}
		if i := slices.IndexFunc(sorted[start:], func(e Event) bool { return s.matches(step, e) }); i >= 0 {
			r.Time = sorted[start+i].Time
			if !step.Optional {
				from = start + i
			}
		}
		found = append(found, r)
	}
	return found
}

// Check gives an error that names the steps which were not reached in their
// order.
func Check(found []Reached) error {
	var missing []string
	for _, r := range found {
		if r.Time.IsZero() && !r.Optional {
			missing = append(missing, fmt.Sprintf("%s %s (%s to %s: %s)", r.Diagram, r.Number, r.From, r.To, r.What))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("steps not reached in order: %s", strings.Join(missing, "; "))
	}
	return nil
}
