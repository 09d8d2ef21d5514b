package round

import "context"

// Part is a Side that counts several times.
type Part struct {
	Side  Side
	Times float64
}

// Sum is a Side that is measured in parts, one after the other, and has the sum of each
// of some metrics: what a way costs that is made of theirs.
type Sum struct {
	Parts []Part
	Of    []Metric
}

// Measure is of Side.
func (s Sum) Measure(ctx context.Context) (Sample, error) {
	sum := Sample{}
	for _, p := range s.Parts {
		sample, err := p.Side.Measure(ctx)
		if err != nil {
			return nil, err
		}
		for _, m := range s.Of {
			sum[m] += p.Times * sample[m]
		}
	}
	return sum, nil
}
