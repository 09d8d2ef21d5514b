package tracing

import (
	"time"

	"github.com/peerbus/peerbus/internal/limits"
)

// Limits bound what spans cost.
type Limits struct {
	// Queue is how many spans wait for their export. Default 4096: a second of a busy
	// bus, some 4 MiB. What comes beyond is dropped.
	Queue int
	// Batch is how many go into one request. Default 512: some 400 KiB, well below
	// what collectors take.
	Batch int
	// Every is how long a span waits at most for others. Default 1 s: a person who looks
	// for a trace is not kept waiting.
	Every time.Duration
	// Export bounds one request, and Retry all repetitions of it. Default 5 s and 20 s.
	Export, Retry time.Duration
	// Stop bounds what the end of the process waits for the last spans. Default 2 s:
	// less than what an orchestrator gives it.
	Stop time.Duration
	// Quiet is the time from one line of the log about a failing export to the next.
	// Default 1 min.
	Quiet time.Duration
	// Value is how many bytes of an attribute are kept. Default 2048: the longest
	// address.
	Value int
}

// DefaultLimits are used for the fields of Limits that are zero.
func DefaultLimits() Limits {
	return Limits{
		Queue: 4096, Batch: 512, Every: time.Second, Export: 5 * time.Second, Retry: 20 * time.Second,
		Stop: 2 * time.Second, Quiet: time.Minute, Value: 2048,
	}
}

func (l Limits) orDefaults() Limits { return limits.OrDefaults(l, DefaultLimits()) }
