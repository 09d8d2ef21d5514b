package drive

import (
	"context"
	"time"

	"github.com/peerbus/peerbus/bench/internal/proc"
	"github.com/peerbus/peerbus/bench/internal/round"
)

// meter reads what the processes of a side use, all together.
type meter struct {
	members []Member
	cpu     time.Duration
	mallocs uint64
}

// start reads the beginning. What is asked of the processes for it comes before their
// CPU time is read, and at the end after it, so that it is not counted.
func start(ctx context.Context, members []Member) (*meter, error) {
	m := &meter{members: members}
	var err error
	if m.mallocs, err = m.allMallocs(ctx); err != nil {
		return nil, err
	}
	m.cpu, err = m.allCPU()
	return m, err
}

// stop adds what was used for each of n messages to a sample.
func (m *meter) stop(ctx context.Context, n int, into round.Sample) error {
	cpu, err := m.allCPU()
	if err != nil {
		return err
	}
	mallocs, err := m.allMallocs(ctx)
	if err != nil {
		return err
	}
	into[round.CPU] = micros(cpu-m.cpu) / float64(n)
	into[round.Allocs] = float64(mallocs-m.mallocs) / float64(n)
	into[round.Memory], err = m.memory()
	return err
}

func (m *meter) allCPU() (sum time.Duration, err error) {
	for _, p := range m.members {
		used, err := proc.CPU(p.PID())
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

func (m *meter) allMallocs(ctx context.Context) (sum uint64, err error) {
	for _, p := range m.members {
		n, err := p.Mallocs(ctx)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (m *meter) memory() (float64, error) {
	var sum int64
	for _, p := range m.members {
		used, err := proc.MemoryOf(p.PID())
		if err != nil {
			return 0, err
		}
		sum += used.Resident
	}
	return float64(sum) / (1 << 20), nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
