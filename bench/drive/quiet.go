package drive

import (
	"context"
	"io"
	"time"

	"github.com/peerbus/peerbus/bench/internal/proc"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/internal/fault"
)

// Metrics of an idle connection.
var (
	ConnectionHeap   = round.Metric{Name: "heap", Unit: "KiB/connection"}
	ConnectionMemory = round.Metric{Name: "resident memory", Unit: "KiB/connection"}
	ConnectionCPU    = round.Metric{Name: "CPU, idle", Unit: "µs/s/connection"}
)

// Used is what a process had before its connections, in bytes.
type Used struct{ Heap, Resident float64 }

// Holder is a process that holds idle connections.
type Holder struct {
	PID     int
	Service Service // the process, if it is one of peerbus
	Number  int     // of connections
	Lasts   time.Duration
	Before  Used
	// Live is how many of the connections are there, as far as it knows.
	Live func(ctx context.Context) (int, error)
	// Heap collects, and gives what is alive, in bytes.
	Heap func(ctx context.Context) (float64, error)
}

// Use reads what the process uses now.
func (h Holder) Use(ctx context.Context) (u Used, err error) {
	if u.Heap, err = h.Heap(ctx); err != nil {
		return u, err
	}
	m, err := proc.MemoryOf(h.PID)
	u.Resident = float64(m.Resident)
	return u, err
}

// Measure is of round.Side.
func (h Holder) Measure(ctx context.Context) (round.Sample, error) {
	before, err := proc.CPU(h.PID)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(h.Lasts):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	after, err := proc.CPU(h.PID)
	if err != nil {
		return nil, err
	}
	now, err := h.Use(ctx)
	if err == nil {
		err = h.complete(ctx)
	}
	const kibi = 1 << 10
	n := float64(h.Number)
	return round.Sample{
		ConnectionHeap:   (now.Heap - h.Before.Heap) / kibi / n,
		ConnectionMemory: (now.Resident - h.Before.Resident) / kibi / n,
		ConnectionCPU:    micros(after-before) / h.Lasts.Seconds() / n,
	}, err
}

// complete fails when connections are missing: what is measured would be of others.
func (h Holder) complete(ctx context.Context) error {
	live, err := h.Live(ctx)
	if err == nil && live != h.Number {
		err = fault.New(fault.Unavailable, "%d of %d connections are live", live, h.Number)
	}
	return err
}

// LiveHeap has a service collect, by its profile endpoint, and gives what is alive.
func (s Service) LiveHeap(ctx context.Context) (float64, error) {
	if err := s.fetch(ctx, "heap?gc=1", io.Discard); err != nil {
		return 0, err
	}
	return s.Metric(ctx, "go_memstats_heap_alloc_bytes")
}
