package round

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// side says what it is asked into a common diary.
type side struct {
	name   string
	diary  *[]string
	values []float64
	err    error
}

func (s *side) Measure(context.Context) (Sample, error) {
	*s.diary = append(*s.diary, s.name)
	if s.err != nil {
		return nil, s.err
	}
	v := s.values[0]
	s.values = s.values[1:]
	return Sample{Throughput: v, CPU: 1 / v}, nil
}

func TestSidesAlternate(t *testing.T) {
	var diary []string
	ours := &side{name: "ours", diary: &diary, values: []float64{10, 30, 20}}
	baseline := &side{name: "baseline", diary: &diary, values: []float64{5, 10, 5}}
	seen := 0
	pairs, err := Run(t.Context(), 3, ours, baseline, func(Pair) { seen++ })
	if err != nil || seen != 3 {
		t.Fatalf("%d rounds seen, %v", seen, err)
	}
	want := []string{"ours", "baseline", "baseline", "ours", "ours", "baseline"}
	if !slices.Equal(diary, want) {
		t.Errorf("%v", diary)
	}
	rows := Rows(pairs, []Goal{Least(Throughput, 3), Most(CPU, 0.3)})
	if len(rows) != 2 {
		t.Fatalf("%+v", rows)
	}
	// The ratio is that of each round, not that of the medians.
	r := rows[0]
	if r.Ours != (Spread{20, 10, 30}) || *r.Baseline != (Spread{5, 5, 10}) || *r.Ratio != (Spread{3, 2, 4}) || !*r.Reached {
		t.Errorf("%+v", r)
	}
	if r := rows[1]; *r.Reached {
		t.Errorf("%+v", r)
	}
}

func TestASideThatFails(t *testing.T) {
	var diary []string
	broken := errors.New("broken")
	ours := &side{name: "ours", diary: &diary, values: []float64{1}}
	pairs, err := Run(t.Context(), 3, ours, &side{name: "baseline", diary: &diary, err: broken}, nil)
	if !errors.Is(err, broken) || len(pairs) != 0 || err.Error() != "round 1: baseline: broken" {
		t.Errorf("%v, %v", pairs, err)
	}
}

func TestWhatTheBaselineDoesNotTell(t *testing.T) {
	pairs := []Pair{
		{Sample{Allocs: 3, Memory: 1}, Sample{Memory: 0}},
		{Sample{Allocs: 5}, Sample{Memory: 2}},
	}
	rows := Rows(pairs, []Goal{Most(Allocs, 1)})
	if len(rows) != 1 {
		t.Fatalf("%+v", rows)
	}
	if r := rows[0]; r.Ours != (Spread{4, 3, 5}) || r.Baseline != nil || r.Ratio != nil || r.Goal == nil || r.Reached != nil {
		t.Errorf("%+v", r)
	}
	if rows := Rows(nil, nil); rows != nil {
		t.Errorf("%+v", rows)
	}
}

func TestNoRatioToNothing(t *testing.T) {
	rows := Rows([]Pair{{Sample{Memory: 1}, Sample{Memory: 0}}}, []Goal{Most(Memory, 1)})
	if r := rows[0]; r.Baseline == nil || r.Ratio != nil || r.Reached != nil {
		t.Errorf("%+v", r)
	}
}

func TestSpread(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   Spread
	}{
		{[]float64{4}, Spread{4, 4, 4}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9}},
		{[]float64{8, 2, 4, 6}, Spread{5, 2, 8}},
	} {
		if got := SpreadOf(tc.values); got != tc.want {
			t.Errorf("%v: %+v", tc.values, got)
		}
	}
}

func TestQuantile(t *testing.T) {
	sorted := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	for part, want := range map[float64]float64{0: 1, 0.5: 6, 0.99: 11, 1: 11} {
		if got := Quantile(sorted, part); got != want {
			t.Errorf("%v: %v", part, got)
		}
	}
	if got := Quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestGoals(t *testing.T) {
	for _, tc := range []struct {
		goal  Goal
		ratio float64
		want  bool
	}{
		{Least(CPU, 2), 2, true}, {Least(CPU, 2), 1.99, false},
		{Most(CPU, 2), 2, true}, {Most(CPU, 2), 2.01, false},
	} {
		if tc.goal.Reached(tc.ratio) != tc.want {
			t.Errorf("%+v of %v", tc.goal, tc.ratio)
		}
	}
}

func TestSum(t *testing.T) {
	var diary []string
	s := Sum{
		Parts: []Part{{&side{diary: &diary, values: []float64{3}}, 1}, {&side{diary: &diary, values: []float64{5}}, 2}},
		Of:    []Metric{Throughput},
	}
	got, err := s.Measure(t.Context())
	if err != nil || len(got) != 1 || got[Throughput] != 13 {
		t.Errorf("%v, %v", got, err)
	}
	s.Parts = append(s.Parts, Part{&side{diary: &diary, err: context.Canceled}, 1})
	s.Parts = s.Parts[2:]
	if _, err := s.Measure(t.Context()); err == nil {
		t.Error("a part that fails is passed over")
	}
}
