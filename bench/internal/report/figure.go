package report

import (
	"math"
	"strconv"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// figure writes a value with three digits, and k, M or G for its thousands.
func figure(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, " G"}, {1e6, " M"}, {1e4, " k"}} {
		if math.Abs(v) >= unit.size {
			if unit.name == " k" {
				unit.size = 1e3
			}
			return digits(v/unit.size) + unit.name
		}
	}
	return digits(v)
}

func digits(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// spread writes median, and minimum and maximum where there are several values.
func spread(s *round.Spread) string {
	switch {
	case s == nil:
		return "-"
	case s.Min == s.Max:
		return figure(s.Median)
	default:
		return figure(s.Median) + " (" + figure(s.Min) + " to " + figure(s.Max) + ")"
	}
}

// goal writes what is to be reached.
func goal(g *round.Goal) string {
	switch {
	case g == nil:
		return ""
	case g.Bound == round.AtLeast:
		return "≥ " + digits(g.Ratio)
	default:
		return "≤ " + digits(g.Ratio)
	}
}

// verdict tells whether it was.
func verdict(reached *bool) string {
	switch {
	case reached == nil:
		return ""
	case *reached:
		return "reached"
	default:
		return "missed"
	}
}
