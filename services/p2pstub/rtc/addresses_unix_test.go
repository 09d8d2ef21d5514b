//go:build unix

package rtc

import (
	"log/slog"
	"slices"
	"syscall"
	"testing"
)

// A process that has run out of files cannot ask the system for its addresses. They are
// not taken for gone.
func TestAddressesWithoutFiles(t *testing.T) {
	e, err := Open(Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // nobody uses it
	want := e.Addresses()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	got := e.Addresses()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("%v with files, and %v without", want, got)
	}
}
