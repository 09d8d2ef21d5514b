//go:build !linux

package proc

import (
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// CPU is known on Linux alone.
func CPU(int) (time.Duration, error) {
	return 0, fault.New(fault.Unavailable, "CPU time of other processes is known on Linux alone")
}

var began = time.Now()

// Now is of this process alone; see Linux.
func Now() time.Duration { return time.Since(began) }
