package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/peerbus/peerbus/internal/local"
)

// The program as it ships ends with 130 when it is interrupted, wherever it would
// otherwise go on for ever; SIGTERM counts as well.
func TestInterruptedCommands(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	bob := []string{"--bus-addr", p.bob.BusAddr, "--registry-addr", p.bob.RegistryAddr}
	in := listen(t, p.bob, p.bobURL)
	go answerAll(in, p.bob)
	post(t, p.alice, numbered(p.aliceURL, p.bobURL, 1))
	waitConnection(t, p.bob, p.alice.URL, live)
	for _, tc := range []struct {
		args  []string
		ready string // comes on its output or its errors once it is under way
	}{
		{with(bob, "listen", p.bobURL+"/listened"), "listening to"},
		{with(bob, "reply", p.bobURL+"/replied", "--template", "{}"), "listening to"},
		{with(bob, "ping", p.bobURL), p.bob.URL},
		{[]string{"connections", "--watch", "--registry-addr", p.bob.RegistryAddr}, p.alice.URL},
	} {
		for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			if code := interruptedBy(t, signal, tc.ready, tc.args); code != exitInterrupted {
				t.Errorf("peerbus %s: exit %d after %v", strings.Join(tc.args, " "), code, signal)
			}
		}
	}
}

// interruptedBy starts the program, waits for a word of it, sends a signal, and gives
// the exit code.
func interruptedBy(t *testing.T, signal os.Signal, ready string, args []string) int {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), binary, args...)
	cmd.Env = []string{}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		_ = w.Close()
	}()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if strings.Contains(lines.Text(), ready) {
			break
		}
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r)
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) {
		t.Fatalf("peerbus %v ends with %v", args, err)
	}
	return exit.ExitCode()
}
