package proc

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peerbus/peerbus/internal/fault"
)

// CPU is what a process has used since its start, user and system, of all its threads.
func CPU(pid int) (time.Duration, error) {
	const schedClock = 2                 // CPUCLOCK_SCHED of the kernel: what the scheduler has counted
	clock := int32(^pid)<<3 | schedClock // a process id fits
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fault.New(fault.Unavailable, "CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// Now is a time by a clock that all processes of the machine share and nobody sets.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(fmt.Sprintf("the monotonic clock: %v", err)) // every Linux has it
	}
	return time.Duration(t.Nano())
}
