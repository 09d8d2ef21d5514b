package rpc_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peerbus/peerbus/internal/rpc"
)

// failing is a listener whose next Accept ends so.
type failing struct{ err error }

func (f *failing) Accept() (net.Conn, error) { return nil, f.err }
func (f *failing) Close() error              { return nil }
func (f *failing) Addr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7402} }

// What cannot be accepted is said once a minute, and the end of a listener not at all.
func TestConnectionsThatCannotBeAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		f := &failing{}
		lis := rpc.Telling([]net.Listener{f}, slog.New(slog.NewTextHandler(&said, nil)))[0]
		for i, step := range []struct {
			after time.Duration
			err   error
			lines int
		}{
			{0, nil, 0}, {0, net.ErrClosed, 0},
			{0, syscall.EMFILE, 1}, {time.Second, syscall.EMFILE, 1}, {time.Second, nil, 1}, {time.Second, syscall.EMFILE, 1},
			{time.Minute, syscall.EMFILE, 2}, {time.Hour, net.ErrClosed, 2},
		} {
			time.Sleep(step.after)
			f.err = step.err
			if _, err := lis.Accept(); !errors.Is(err, step.err) {
				t.Errorf("step %d: %v", i, err)
			}
			if got := strings.Count(said.String(), "\n"); got != step.lines {
				t.Errorf("step %d: %d lines, want %d", i, got, step.lines)
			}
		}
		if text := said.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "addr=127.0.0.1:7402") || !strings.Contains(text, syscall.EMFILE.Error()) {
			t.Error(text)
		}
	})
}
