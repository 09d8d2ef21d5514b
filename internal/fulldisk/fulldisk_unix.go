//go:build unix

package fulldisk

import (
	"os/signal"
	"syscall"
	"testing"
)

// Reason is why a write to a file fails meanwhile.
const Reason = syscall.EFBIG

// Fill makes every write to a file of this process fail, until room or the end of the test.
func Fill(t *testing.T) (room func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ) // which would end the process
	full := before
	full.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	room = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(room)
	return room
}
