package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"github.com/peerbus/peerbus/internal/fault"
)

// Memory of a process, in bytes.
type Memory struct {
	Resident int64 // now
	Peak     int64 // the most that has been resident
}

// MemoryOf reads it.
func MemoryOf(pid int) (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, fault.New(fault.Unavailable, "memory of process %d: %w", pid, err)
	}
	m, err := parseStatus(status)
	if err != nil {
		return Memory{}, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return m, nil
}

// parseStatus reads /proc/PID/status.
func parseStatus(status []byte) (m Memory, err error) {
	for name, into := range map[string]*int64{"VmRSS:": &m.Resident, "VmHWM:": &m.Peak} {
		if *into, err = field(status, name); err != nil {
			return Memory{}, err
		}
	}
	return m, nil
}

func field(status []byte, name string) (int64, error) {
	for line := range bytes.Lines(status) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		digits, ok := bytes.CutSuffix(bytes.TrimSpace(rest), []byte(" kB"))
		n, err := strconv.ParseInt(string(digits), 10, 64)
		if err != nil || !ok {
			return 0, fault.New(fault.Internal, "%s is %q", name, bytes.TrimSpace(rest))
		}
		return n << 10, nil
	}
	return 0, fault.New(fault.NotFound, "there is no %s", name) // of a process that has ended
}
