package main

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func TestMeterLine(t *testing.T) {
	const total = 4 << 20
	for _, tc := range []struct {
		written int64
		want    string
	}{
		{0, "[                              ]   0%  0.0 MiB of 4.0 MiB"},
		{total / 2, "[###############               ]  50%  2.0 MiB of 4.0 MiB"},
		{total - 1, "[############################# ]  99%  4.0 MiB of 4.0 MiB"},
		{total + 500, "4.0 MiB sent, waiting for delivery"},
	} {
		if got := meterLine(tc.written, total, pb.Wait_WAIT_DELIVERED); got != tc.want {
			t.Errorf("%d: %q, want %q", tc.written, got, tc.want)
		}
	}
}

// The bar leaves nothing behind, and is for people who look on.
func TestMeter(t *testing.T) {
	var w bytes.Buffer
	m := &meter{w: &w, total: 10}
	m.show(context.Background(), pb.Wait_WAIT_ACCEPTED)()
	if !contains(w.String(), "0%") || !strings.HasSuffix(w.String(), wipe) {
		t.Errorf("%q", w.String())
	}
	large := &pb.Message{Body: make([]byte, meteredFrom)}
	if m := newMeter(&w, large); m.w != nil || m.dialOptions() != nil {
		t.Error("it draws where nobody looks on")
	}
}

func TestMeteredConn(t *testing.T) {
	a, b := net.Pipe()
	var n atomic.Int64
	go func() { _, _ = b.Read(make([]byte, 8)); _ = b.Close() }()
	_, _ = meteredConn{a, &n}.Write([]byte("12345"))
	if n.Load() != 5 {
		t.Errorf("%d", n.Load())
	}
}
