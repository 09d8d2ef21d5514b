//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
)

// What a command leaves behind with its output open is ended: it would be one more with
// each request.
func TestCommandsThatLeaveSomethingBehind(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	alive, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = alive.Close() }()
	answer, err := commandAnswer([]string{"sh", "-c", `exec 3>"$0"; sleep 1000 & echo {}`, pipe}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answer(context.Background(), question()); fault.CodeOf(err) != fault.Internal || !contains(err.Error(), "keeps its output open") {
		t.Error(err)
	}
	_ = alive.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := alive.Read(make([]byte, 1)); err != io.EOF { // which comes when nobody has the other end
		t.Errorf("it is still there: %v", err)
	}
}
