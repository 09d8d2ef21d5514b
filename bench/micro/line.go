package micro

import (
	"strconv"
	"strings"

	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/internal/fault"
)

// parseLine gives what a line of a benchmark says of both sides; not ok for any other
// line. unit is what follows `ours-` and `map-`.
func parseLine(line, benchmark, unit string, m round.Metric) (p round.Pair, ok bool, err error) {
	fields := strings.Fields(line)
	if len(fields) == 0 || !strings.HasPrefix(fields[0], benchmark) {
		return p, false, nil
	}
	if len(fields) < 2 {
		return p, false, nil // its name alone: it runs
	}
	values := map[string]float64{}
	for i := 2; i+1 < len(fields); i += 2 {
		if values[fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
			return p, false, fault.New(fault.Internal, "line %q: %w", line, err)
		}
	}
	ours, baseline := values["ours-"+unit], values["map-"+unit]
	if ours <= 0 || baseline <= 0 {
		return p, false, fault.New(fault.Internal, "line %q does not have both sides", line)
	}
	return round.Pair{Ours: round.Sample{m: ours}, Baseline: round.Sample{m: baseline}}, true, nil
}
