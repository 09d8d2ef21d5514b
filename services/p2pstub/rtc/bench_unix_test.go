//go:build unix

package rtc

import (
	"log/slog"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/peerbus/peerbus/protocol/datasync"
	"github.com/peerbus/peerbus/protocol/framing"
)

// BenchmarkChannel sends packets of 16 KiB from one engine to another. What counts is the
// CPU time of both, since a machine of two cores is full with them.
func BenchmarkChannel(b *testing.B) {
	from, to := benchmarked(b)
	low := make(chan struct{}, 1)
	from.OnLow(256<<10, func() {
		select {
		case low <- struct{}{}:
		default:
		}
	})
	data := make([]byte, 16<<10)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := to.NewReader(64 << 10)
		for range b.N {
			if _, err := r.Read(); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	before := cpuTime(b)
	b.ResetTimer()
	for range b.N {
		for from.Buffered() > 1<<20 {
			<-low
		}
		if err := from.Write(framing.Packet{Data: data}); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func benchmarked(b *testing.B) (from, to *Channel) {
	b.Helper()
	channels := make([]chan *Channel, 2)
	peers := make([]*Peer, 2)
	for i := range peers {
		e, err := Open(Config{AdvertiseIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		opened := make(chan *Channel, 1)
		channels[i] = opened
		peers[i], err = e.NewPeer(i == 0, Events{
			Candidate: func(datasync.Candidate) {}, State: func(State, string) {}, Channel: func(c *Channel) { opened <- c },
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			peers[i].Close()
			_ = e.Close()
		})
	}
	offer, err := peers[0].Offer(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	answer, err := peers[1].Answer(b.Context(), offer)
	if err != nil {
		b.Fatal(err)
	}
	if err := peers[0].SetAnswer(answer); err != nil {
		b.Fatal(err)
	}
	return <-channels[0], <-channels[1]
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
