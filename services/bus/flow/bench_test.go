package flow

import (
	"testing"
	"time"
)

// A flow in steady state: messages go, are received, dealt with and acknowledged,
// 64 at a time. Nothing may be allocated but the acknowledgements.
func BenchmarkFlow(b *testing.B) { benchmark(b, 0) }

// The same beside a listener that deals with nothing and has all that it may, one
// message in two.
func BenchmarkFlowBesideStuck(b *testing.B) { benchmark(b, 10_000) }

func benchmark(b *testing.B, stuck int) {
	now := time.Unix(1_000_000, 0)
	s, r := NewSender(ID{1, 1}, Limits{}), NewReceiver(1, Limits{})
	s.Announce(now)
	s.SetPaths(now, Paths{Direct: true})
	var value any = new(int)
	deal := func(d Delivery) { r.Dealt(now, d.Sequence, 0, "") }
	for range stuck {
		s.Post(now, Item{Address: "stuck", Size: 300, Value: value})
		move(now, s, r, func(Delivery) {})
		s.Post(now, Item{Address: "a", Size: 300, Value: value})
		move(now, s, r, deal)
		now = now.Add(time.Millisecond)
	}
	b.ReportAllocs()
	for i := range b.N {
		if !s.Post(now, Item{Address: "b", Size: 300, Value: value}) {
			b.Fatal("no room")
		}
		if i%64 == 63 {
			now = now.Add(time.Millisecond)
			move(now, s, r, deal)
		}
	}
}

// move takes all over that is due, and acknowledges it.
func move(now time.Time, s *Sender, r *Receiver, deal func(Delivery)) {
	for t, ok := s.Next(now); ok; t, ok = s.Next(now) {
		turn, _ := r.Receive(now, t.Place, 300, t.Value)
		for _, d := range turn {
			deal(d)
		}
	}
	a := r.Ack(now)
	a.Epoch, a.Id = 1, 1
	s.Acked(now, a)
}
