//go:build unix

package engine

import (
	"os"
	"syscall"

	"github.com/peerbus/peerbus/internal/fault"
)

// lockFile takes a directory for this process: two servers on the same files
// would destroy them. The lock ends with the process, however that ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fault.New(fault.Conflict, "another process uses the data directory (%s)", path)
	}
	return f, nil
}
