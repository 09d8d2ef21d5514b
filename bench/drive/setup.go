package drive

import (
	"context"
	"slices"
	"time"

	"github.com/peerbus/peerbus/bench/internal/proc"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
	"github.com/peerbus/peerbus/internal/run"
)

// Metrics of set-ups.
var (
	SetUp     = round.Metric{Name: "set-up, median", Unit: "ms"}
	SetUpTail = round.Metric{Name: "set-up, 99th percentile", Unit: "ms"}
	First     = round.Metric{Name: "first message, median", Unit: "ms"}
	SetUpCPU  = round.Metric{Name: "CPU, both ends", Unit: "ms/set-up"}
	SetUpRest = round.Metric{Name: "CPU, both ends, without a connection", Unit: "ms/s"}
)

// SetUps is a side that sets up connections, one after the other.
type SetUps struct {
	Worker  *worker.Process
	PIDs    []int             // of all processes that take part
	Members map[string]Member // those that can be profiled, by their names
	Number  int               // of a round
}

// restTime is how long a side is left alone in each round, to know what it uses anyhow.
const restTime = time.Second

// rest gives the CPU time that the processes use in a second without a connection.
func (s SetUps) rest(ctx context.Context) (float64, error) {
	if err := s.Worker.Call(ctx, load.DoRest, nil, nil); err != nil {
		return 0, err
	}
	before, err := s.cpu()
	if err == nil {
		err = run.Sleep(ctx, restTime)
	}
	if err != nil {
		return 0, err
	}
	after, err := s.cpu()
	return float64(after-before) / restTime.Seconds(), err
}

// Measure is of round.Side. What the processes use without a connection is not counted for
// the set-ups: ours take longer, as both sides hear of the end of each before the next.
func (s SetUps) Measure(ctx context.Context) (round.Sample, error) {
	rest, err := s.rest(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
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
	used := float64(after-before) - rest*time.Since(began).Seconds()
	slices.Sort(open)
	slices.Sort(first)
	return round.Sample{
		SetUp: round.Quantile(open, 0.5), SetUpTail: round.Quantile(open, 0.99), First: round.Quantile(first, 0.5),
		SetUpCPU: used / millis / float64(s.Number), SetUpRest: rest / millis,
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
