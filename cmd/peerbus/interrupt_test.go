package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/local"
)

// The program as it ships ends with 130 when it is interrupted, wherever it would
// otherwise go on for ever; SIGTERM counts as well.
func TestInterruptedCommands(t *testing.T) {
	p := newPair(t, local.AllInOne, local.AllInOne)
	bob := []string{"--bus-addr", p.bob.BusAddr, "--registry-addr", p.bob.RegistryAddr}
	in := listen(t, p.bob, p.bobURL)
	go answerAll(in, p.bob)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 1))
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

// A command that waits for its body at a terminal or a pipe is interrupted all the
// same.
func TestInterruptedWhileABodyIsAwaited(t *testing.T) {
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	defer func() { _ = in.Close() }()
	ctx, interrupt := context.WithCancel(testContext(t))
	interrupt()
	var out, errs bytes.Buffer
	code := execute(ctx, []string{"post", "hyperty://b.example/1", "-"}, nil, in, &out, &errs)
	if code != exitInterrupted || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit %d, %s", code, errs.String())
	}
}

// A second interrupt ends at once what the first cannot: here a template without end.
func TestInterruptedTwice(t *testing.T) {
	p, ctx := newPair(t, local.AllInOne, local.AllInOne), testContext(t)
	address := p.bobURL + "/endless"
	cmd := exec.CommandContext(ctx, binary, "reply", address, "--bus-addr", p.bob.BusAddr, "--template", "{{range 9000000000000000000}}{{end}}")
	r, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	bufio.NewScanner(r).Scan() // it listens
	post(t, p.bob, pingOf(p.bobURL, address, 1))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-again.C:
		case <-ended:
			if ctx.Err() != nil {
				t.Error("it goes on")
			}
			return
		}
	}
}
