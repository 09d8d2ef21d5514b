package members

import (
	"time"

	"github.com/peerbus/peerbus/internal/limits"
)

// Limits bound a Group. Zero fields take the value of DefaultLimits.
type Limits struct {
	// Beat is how often a member writes its key. Default 500 ms: two small writes
	// a second for each process.
	Beat time.Duration
	// Misses is how many beats of one's own pass until a member of which none
	// came is gone. Default 6, 3 s: a process may stop that long to collect
	// garbage or to wait for a processor.
	Misses int
	// Unrenewed is how long a leader that cannot write goes on. Default 15 s: a
	// cluster of NATS takes up to 12 s to choose another leader of a bucket.
	Unrenewed time.Duration
	// Write bounds one write. Default 2 s: then the next beat tries again.
	Write time.Duration
	// Members is how many members of all kinds are taken note of. Default 1,024.
	Members int
}

// DefaultLimits are what a Group has without others.
func DefaultLimits() Limits {
	return Limits{Beat: 500 * time.Millisecond, Misses: 6, Unrenewed: 15 * time.Second, Write: 2 * time.Second, Members: 1024}
}

func (l Limits) orDefaults() Limits { return limits.OrDefaults(l, DefaultLimits()) }
