//go:build unix

package fulldisk

import (
	"flag"
	"os/signal"
	"syscall"
	"testing"
)

// Reason is why a write to a file fails meanwhile.
const Reason = syscall.EFBIG

// Fill makes every write to a file of this process fail, until room or the end of the test.
// Where go test keeps results, it has the process write down what tests look at, and that
// fails as well: such a test is skipped there.
func Fill(t *testing.T) (room func()) {
	t.Helper()
	if f := flag.Lookup("test.testlogfile"); f != nil && f.Value.String() != "" {
		t.Skip("go test writes files of its own now: run it with -count=1 or -shuffle=on")
	}
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
