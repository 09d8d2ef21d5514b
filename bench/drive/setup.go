package drive

import (
	"context"
	"slices"
	"time"

	"github.com/peerbus/peerbus/bench/internal/proc"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
)

// Metrics of set-ups.
var (
	SetUp     = round.Metric{Name: "set-up, median", Unit: "ms"}
	SetUpTail = round.Metric{Name: "set-up, 99th percentile", Unit: "ms"}
	First     = round.Metric{Name: "first message, median", Unit: "ms"}
	SetUpCPU  = round.Metric{Name: "CPU, both ends", Unit: "ms/set-up"}
)

// SetUps is a side that sets up connections, one after the other.
type SetUps struct {
	Worker *worker.Process
	PIDs   []int // of all processes that take part
	Number int   // of a round
}

// Measure is of round.Side.
func (s SetUps) Measure(ctx context.Context) (round.Sample, error) {
	before, err := s.cpu()
	if err != nil {
		return nil, err
	}
	var open, first []float64
	for range s.Number {
		one, err := s.one(ctx)
		if err != nil {
			return nil, err
		}
		open, first = append(open, float64(one.Open)/millis), append(first, float64(one.First)/millis)
	}
	after, err := s.cpu()
	slices.Sort(open)
	slices.Sort(first)
	return round.Sample{
		SetUp: round.Quantile(open, 0.5), SetUpTail: round.Quantile(open, 0.99), First: round.Quantile(first, 0.5),
		SetUpCPU: float64(after-before) / millis / float64(s.Number),
	}, err
}

func (s SetUps) one(ctx context.Context) (one load.SetUp, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	err = s.Worker.Call(ctx, load.DoSetUp, nil, &one)
	return one, err
}

func (s SetUps) cpu() (sum time.Duration, err error) {
	for _, pid := range s.PIDs {
		used, err := proc.CPU(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}
