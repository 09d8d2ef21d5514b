package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
)

// terminal opens a pseudo-terminal: what is written to tty is read from screen.
func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// A line that does not fit a narrow terminal is cut: its rest would stay there.
func TestTheBarFitsTheTerminal(t *testing.T) {
	_, tty := terminal(t)
	defer func() { _ = tty.Close() }()
	m := &meter{w: tty}
	line := meterLine(0, 4<<20, pb.Wait_WAIT_ACCEPTED)
	for width, want := range map[uint16]int{20: 19, 200: len(line), 0: len(line)} {
		if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
			t.Fatal(err)
		}
		if got := m.fitting(line); len(got) != want {
			t.Errorf("%d columns: %d are used, want %d", width, len(got), want)
		}
	}
}

// Somebody at a terminal sees how far a large message is, and nothing of that is
// left at the end.
func TestPostShowsProgressOnATerminal(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	in := listen(t, p.bob, p.bobURL)
	go answerAll(in, p.bob)
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	screen, tty := terminal(t)
	seen := make(chan []byte, 1)
	go func() {
		text, _ := io.ReadAll(screen) // ends with an error when the terminal is closed
		seen <- text
	}()
	args := []string{"post", p.bobURL, "--bus-addr", p.alice.BusAddr, "--resource", file, "--wait", "delivered"}
	var out bytes.Buffer
	code := execute(testContext(t), args, nil, strings.NewReader(""), &out, tty)
	_ = tty.Close()
	text := string(<-seen)
	if code != 0 || !contains(text, "0%", "of 3.0 MiB") || !strings.HasSuffix(text, wipe) || !contains(out.String(), "delivered, id") {
		t.Errorf("exit %d, %q, %s", code, text, out.String())
	}
}
