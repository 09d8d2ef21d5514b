package report

import (
	"strings"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// Places of labels in the plot, in pixels.
const (
	labelGap   = 10                                          // between a label and the plot
	meanTenths = 62                                          // tenths of one, the mean width of a character of 12 px, sans-serif
	labelFits  = (plotLabels - 2*labelGap) * 10 / meanTenths // characters
)

// label is what stands at a line of the plot: the case, and below it the metric and what
// it is beside.
type label struct{ first, second string }

// labelOf shortens both to what fits. A case is what stands before its first semicolon;
// of the second line the metric is first, so that what is beside is shortened.
func labelOf(x Result, row round.Row) label {
	what, _, _ := strings.Cut(x.What, ";")
	return label{shortened(what), shortened(row.Metric.Name + ", beside " + x.Beside)}
}

// shortened ends what is too long with an ellipsis.
func shortened(text string) string {
	all := []rune(text)
	if len(all) <= labelFits {
		return text
	}
	return strings.TrimRight(string(all[:labelFits-1]), " ,") + "…"
}
