package drive

import (
	"context"
	"errors"
	"time"

	"github.com/peerbus/peerbus/bench/internal/proc"
	"github.com/peerbus/peerbus/bench/internal/round"
)

// Metrics of a process that is started and left alone.
var (
	Starting  = round.Metric{Name: "start to ready", Unit: "ms"}
	StartCPU  = round.Metric{Name: "CPU of the start", Unit: "ms"}
	Idle      = round.Metric{Name: "resident memory, idle", Unit: "MiB"}
	IdleCPU   = round.Metric{Name: "CPU, idle", Unit: "ms/s"}
	millis    = float64(time.Millisecond)
	mebibytes = float64(1 << 20)
)

// Started is a process that is ready.
type Started struct {
	PID     int
	Service Service       // the process, if it is one of peerbus
	Took    time.Duration // from its start until it was ready
	Close   func() error
}

// Solitude is a side that starts a process, and leaves it alone for a while.
type Solitude struct {
	Lasts time.Duration
	Start func(ctx context.Context) (*Started, error)
}

// Measure is of round.Side.
func (s Solitude) Measure(ctx context.Context) (_ round.Sample, err error) {
	p, err := s.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	before, err := proc.CPU(p.PID)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(s.Lasts):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	after, err := proc.CPU(p.PID)
	if err != nil {
		return nil, err
	}
	memory, err := proc.MemoryOf(p.PID)
	return round.Sample{
		Starting: float64(p.Took) / millis, StartCPU: float64(before) / millis,
		Idle: float64(memory.Resident) / mebibytes, IdleCPU: float64(after-before) / millis / s.Lasts.Seconds(),
	}, err
}
