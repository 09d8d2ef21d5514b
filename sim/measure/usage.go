package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// tick is the unit of CPU time in /proc, the same on all of Linux.
const tick = time.Second / 100

// usage of a process.
type usage struct {
	cpu   time.Duration // user and system, since its start
	bytes float64       // resident
}

func usageOf(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fault.New(fault.Unavailable, "usage of process %d: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if len(f) < 22 {
		return usage{}, fault.New(fault.Internal, "usage of process %d: %d fields", pid, len(f))
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	pages, _ := strconv.ParseInt(f[21], 10, 64)
	return usage{time.Duration(user+system) * tick, float64(pages) * float64(os.Getpagesize())}, nil
}

// meter is of several processes.
type meter struct {
	pids  []int
	start []usage
}

func newMeter(pids ...int) (*meter, error) {
	m := &meter{pids: pids}
	for _, p := range pids {
		u, err := usageOf(p)
		if err != nil {
			return nil, err
		}
		m.start = append(m.start, u)
	}
	return m, nil
}

// since gives what each process has used for one of n, since newMeter: microseconds
// and bytes.
func (m *meter) since(n int) (cpu, bytes []float64, err error) {
	for i, p := range m.pids {
		u, err := usageOf(p)
		if err != nil {
			return nil, nil, err
		}
		cpu = append(cpu, micros(u.cpu-m.start[i].cpu)/float64(n))
		bytes = append(bytes, (u.bytes-m.start[i].bytes)/float64(n))
	}
	return cpu, bytes, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// quiet waits until the processes have done what is left to do: until they take less
// than a twentieth of a core.
func quiet(ctx context.Context, pids ...int) error {
	const look = 400 * time.Millisecond
	for {
		m, err := newMeter(pids...)
		if err != nil {
			return err
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return fault.New(fault.Timeout, "the processes do not come to rest: %w", ctx.Err())
		}
		cpu, _, err := m.since(1)
		if err != nil {
			return err
		}
		busy := false
		for _, c := range cpu {
			busy = busy || c > micros(look)/20
		}
		if !busy {
			return nil
		}
	}
}
