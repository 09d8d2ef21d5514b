package round

import (
	"cmp"
	"slices"
)

// Row compares both sides in one Metric.
type Row struct {
	Metric Metric `json:"metric"`
	Ours   Spread `json:"ours"`
	// Baseline and Ratio are missing where the baseline does not tell.
	Baseline *Spread `json:"baseline,omitempty"`
	Ratio    *Spread `json:"ratio,omitempty"`
	// Goal and Reached are missing where no ratio is to be reached.
	Goal    *Goal `json:"goal,omitempty"`
	Reached *bool `json:"reached,omitempty"`
}

// Rows sums up rounds: those with a goal first, in the order of the goals, the others
// by name. What one side did not tell in each round is left out for that side.
func Rows(pairs []Pair, goals []Goal) []Row {
	var rows []Row
	for _, m := range metrics(pairs, goals) {
		ours, both := series(pairs, m)
		if len(ours) < len(pairs) {
			continue
		}
		row := Row{Metric: m, Ours: SpreadOf(ours)}
		if len(both) == len(pairs) {
			row.compare(both)
		}
		if i := slices.IndexFunc(goals, func(g Goal) bool { return g.Metric == m }); i >= 0 {
			row.judge(goals[i])
		}
		rows = append(rows, row)
	}
	return rows
}

// metrics gives those of our side, in the order of the rows.
func metrics(pairs []Pair, goals []Goal) []Metric {
	var named, others []Metric
	if len(pairs) == 0 {
		return nil
	}
	for _, g := range goals {
		named = append(named, g.Metric)
	}
	for m := range pairs[0].Ours {
		if !slices.Contains(named, m) {
			others = append(others, m)
		}
	}
	slices.SortFunc(others, func(a, b Metric) int { return cmp.Compare(a.Name+a.Unit, b.Name+b.Unit) })
	return append(named, others...)
}

// series gives our values, and both sides' of the rounds in which both have one.
func series(pairs []Pair, m Metric) (ours []float64, both [][2]float64) {
	for _, p := range pairs {
		a, ok := p.Ours[m]
		if !ok {
			continue
		}
		ours = append(ours, a)
		if b, ok := p.Baseline[m]; ok {
			both = append(both, [2]float64{a, b})
		}
	}
	return ours, both
}

func (r *Row) compare(both [][2]float64) {
	var baseline, ratios []float64
	for _, v := range both {
		baseline = append(baseline, v[1])
		if v[1] != 0 {
			ratios = append(ratios, v[0]/v[1])
		}
	}
	b := SpreadOf(baseline)
	r.Baseline = &b
	if len(ratios) == len(both) {
		s := SpreadOf(ratios)
		r.Ratio = &s
	}
}

func (r *Row) judge(g Goal) {
	r.Goal = &g
	if r.Ratio != nil {
		reached := g.Reached(r.Ratio.Median)
		r.Reached = &reached
	}
}
