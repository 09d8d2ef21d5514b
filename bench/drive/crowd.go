package drive

import (
	"context"
	"errors"
	"time"

	"github.com/peerbus/peerbus/bench/internal/proc"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/load"
)

// Metrics of a crowd.
var (
	Opening       = round.Metric{Name: "open all", Unit: "s"}
	Returning     = round.Metric{Name: "reconnect of all", Unit: "s"}
	SessionMemory = round.Metric{Name: "resident memory", Unit: "KiB/session"}
	SessionCPU    = round.Metric{Name: "CPU of the server, to open", Unit: "µs/session"}
)

// Stand is a server and a crowd that has not come yet.
type Stand struct {
	Server  int // its process id
	Crowd   *worker.Process
	Closers []func() error // the last one first
}

// Close ends the processes.
func (s *Stand) Close() error {
	var errs []error
	for i := len(s.Closers) - 1; i >= 0; i-- {
		errs = append(errs, s.Closers[i]())
	}
	return errors.Join(errs...)
}

// Crowd is a side that has so many sessions opened, and all of them again at once. Each
// round has processes of its own, so that nothing is left of the one before.
type Crowd struct {
	Number int
	Start  func(ctx context.Context) (*Stand, error)
}

// crowdTime bounds a round.
const crowdTime = 2 * time.Minute

// Measure is of round.Side.
func (c Crowd) Measure(ctx context.Context) (_ round.Sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, crowdTime)
	defer cancel()
	s, err := c.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	sample := round.Sample{}
	if err := c.gather(ctx, s, sample); err != nil {
		return nil, err
	}
	var took time.Duration
	err = s.Crowd.Call(ctx, load.DoReturn, nil, &took)
	sample[Returning] = took.Seconds()
	return sample, err
}

// gather opens all sessions.
func (c Crowd) gather(ctx context.Context, s *Stand, sample round.Sample) error {
	before, err := proc.MemoryOf(s.Server)
	if err != nil {
		return err
	}
	cpu, err := proc.CPU(s.Server)
	if err != nil {
		return err
	}
	var took time.Duration
	if err := s.Crowd.Call(ctx, load.DoGather, c.Number, &took); err != nil {
		return err
	}
	used, err := proc.CPU(s.Server)
	if err != nil {
		return err
	}
	after, err := proc.MemoryOf(s.Server)
	n := float64(c.Number)
	sample[Opening], sample[SessionCPU] = took.Seconds(), micros(used-cpu)/n
	sample[SessionMemory] = float64(after.Resident-before.Resident) / (1 << 10) / n
	return err
}
