//go:build !unix

package engine

import (
	"os"

	"github.com/peerbus/peerbus/internal/fault"
)

// lockFile marks the directory; this system has no lock that ends with the
// process, so a second server on it is not noticed.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "data directory: %w", err)
	}
	return f, nil
}
