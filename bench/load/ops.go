package load

import (
	"context"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/peerbus/peerbus/bench/internal/proc"
	"github.com/peerbus/peerbus/bench/internal/round"
	"github.com/peerbus/peerbus/bench/internal/worker"
)

// Calls of a worker that is an end.
const (
	DoSend   = "send"   // Some → time.Duration: when the first was handed over
	DoAwait  = "await"  // uint64 → time.Duration: when so many had arrived
	DoAsk    = "ask"    // Some → Latencies
	DoMemory = "memory" // → Heap
)

// Some messages of a size in bytes.
type Some struct{ Number, Size int }

// Latencies of requests.
type Latencies struct{ Median, Tail time.Duration }

// Heap of a worker, since its start.
type Heap struct{ Mallocs uint64 }

// Ops are those of each end.
func Ops(e End, c *Counter) worker.Ops {
	ops := worker.Ops{
		DoSend:  worker.Do(func(ctx context.Context, s Some) (time.Duration, error) { return send(ctx, e, s) }),
		DoAwait: worker.Do(c.Await),
		DoAsk:   worker.Do(func(ctx context.Context, s Some) (Latencies, error) { return ask(ctx, e, s) }),
	}
	return WithMemory(ops)
}

// WithMemory has a worker tell of its heap, and of its CPU.
func WithMemory(ops worker.Ops) worker.Ops {
	ops[DoMemory] = worker.Do(func(context.Context, struct{}) (Heap, error) { return heap(), nil })
	ops[DoProfile] = worker.Do(profile)
	return ops
}

func send(ctx context.Context, e End, s Some) (time.Duration, error) {
	body := Body(s.Size)
	began := proc.Now()
	for range s.Number {
		if err := e.Send(ctx, body); err != nil {
			return 0, err
		}
	}
	return began, e.Flush(ctx)
}

func ask(ctx context.Context, e End, s Some) (Latencies, error) {
	body := Body(s.Size)
	took := make([]float64, 0, s.Number)
	for range s.Number {
		began := time.Now()
		if err := e.Ask(ctx, body); err != nil {
			return Latencies{}, err
		}
		took = append(took, float64(time.Since(began)))
	}
	slices.Sort(took)
	return Latencies{time.Duration(round.Quantile(took, 0.5)), time.Duration(round.Quantile(took, 0.99))}, nil
}

func heap() Heap {
	all := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(all)
	return Heap{all[0].Value.Uint64()}
}
