//go:build unix

package rpc_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/peerbus/peerbus/internal/rpc"
)

// Who keeps a directory locked for good does not stop a start without a word.
func TestALockedDirectory(t *testing.T) {
	addr, path := socket(t)
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Listen(addr, rpc.Security{}); err == nil || !strings.Contains(err.Error(), "locking "+filepath.Dir(path)) {
		t.Errorf("listening there: %v", err)
	}
}
