package flow

import (
	"encoding/binary"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// numbers reads a fuzzer's bytes: mostly small numbers, sometimes any.
type numbers struct{ data []byte }

func (n *numbers) more() bool { return len(n.data) > 0 }

func (n *numbers) next() uint64 {
	if len(n.data) == 0 {
		return 0
	}
	b := n.data[0]
	n.data = n.data[1:]
	if b < 250 || len(n.data) < 8 {
		return uint64(b)
	}
	v := binary.BigEndian.Uint64(n.data)
	n.data = n.data[8:]
	return v
}

func (n *numbers) ranges() (rs []*pb.Range) {
	for range n.next() % 6 {
		rs = append(rs, &pb.Range{First: n.next(), Last: n.next()})
	}
	return rs
}

func (n *numbers) ack() *pb.FlowAck {
	a := &pb.FlowAck{
		Epoch: 1, Id: 7, Receiver: n.next() % 4, Received: n.next(), ReceivedBeyond: n.ranges(),
		Dealt: n.next(), DealtBeyond: n.ranges(),
	}
	for range n.next() % 4 {
		a.Refusals = append(a.Refusals, &pb.FlowRefusal{Sequence: n.next(), Code: int32(n.next()), Description: "no"})
	}
	return a
}

// longestInput bounds what one input costs.
const longestInput = 4 << 10

// seed is an input that is as long as most that a fuzzer finds worth keeping, so
// that it need not begin with making and shrinking such: many events, of which one
// kind comes often.
func seed(often byte, n int) []byte {
	data := make([]byte, 0, n)
	for x := uint32(often) + 1; len(data) < n; {
		x = x*1664525 + 1013904223
		if x>>24%3 == 0 {
			data = append(data, often)
		}
		data = append(data, byte(x>>16%9))
	}
	return data
}

// No acknowledgement, refusal or change of ways, in whatever order, brings a sender
// out of order: what it counts is there, each message is settled once, and it
// comes to an end.
func FuzzSender(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 1, 3, 1, 5, 9, 0, 2, 0, 0, 2, 3, 5})
	f.Add([]byte{0, 0, 0, 1, 2, 200, 2, 250, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 4, 4, 9, 1})
	for kind := range byte(8) {
		f.Add(seed(kind, 400))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), longestInput)]
		l := small()
		l.Patience = time.Minute
		w := newWorld(l, t.Fatalf)
		w.believes = true
		for n := (numbers{data}); n.more(); {
			hostileEvent(w, &n)
		}
		w.unsaid, w.waiting = nil, nil
		w.setPaths(Paths{})
		w.advance(3 * time.Minute)
		w.advance(3 * time.Minute)
		if !w.sender.Empty() || w.sender.Bytes() != 0 {
			t.Fatalf("it is not at its end: %s", w.describe())
		}
	})
}

func hostileEvent(w *world, n *numbers) {
	switch n.next() % 8 {
	case 0:
		for range n.next() % 20 {
			w.post(addresses[n.next()%3], int(n.next()%2000), 0)
		}
	case 7:
		w.postSome(addresses[n.next()%3], int(n.next()%20)+1, int(n.next()%2000), 0)
	case 1, 2:
		w.settle(w.sender.Acked(w.now, n.ack()))
	case 3:
		w.settle(w.sender.Refused(w.now, n.next(), int32(n.next()%600), "no")) // small
	case 4:
		b := n.next()
		w.setPaths(Paths{b&1 != 0, b&2 != 0, b&4 != 0})
	case 5:
		w.sender.Unsent(n.next(), int(n.next()%20), Path(n.next()%4))
		w.sender.Ready(Both)
	case 6:
		w.advance(time.Duration(n.next()%256) * 20 * time.Millisecond)
	}
	w.act()
}

// Whatever comes in, a receiver hands over each sequence once, in order, and keeps
// no more than it may.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 9, 0, 3, 1, 1, 9, 0, 2, 1, 0, 9, 1, 1, 0})
	f.Add([]byte{0, 9, 3, 1, 250, 0, 0, 0, 0, 0, 0, 16, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 8, 8, 0, 200})
	for kind := range byte(3) {
		f.Add(seed(kind, 400))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), longestInput)]
		l := small()
		w := newWorld(l, t.Fatalf)
		w.receiver = NewReceiver(1, l)
		last := uint64(0)
		for n := (numbers{data}); n.more(); {
			switch n.next() % 3 {
			case 0, 1:
				p := Place{n.next(), n.next(), n.next()}
				var value any
				if n.next()%5 > 0 {
					value = "body"
				}
				turn, _ := w.receiver.Receive(w.now, p, int(n.next()%2048), value)
				for _, d := range turn {
					if d.Sequence <= last || d.Value == nil {
						t.Fatalf("%d is handed over after %d", d.Sequence, last)
					}
					last = d.Sequence
				}
			case 2:
				w.receiver.Dealt(w.now, n.next(), int32(n.next())*3, "no") // small
				w.now = w.now.Add(time.Duration(n.next()%256) * time.Millisecond)
			}
			w.checkReceiver()
			if w.receiver.Backlog() > l.Bytes+l.Ahead+2048 {
				t.Fatalf("%d bytes are handed over", w.receiver.Backlog())
			}
			w.ack()
			w.back = [2][]packet{}
		}
	})
}

// An acknowledgement that says everything, many times over, costs what it changes.
func BenchmarkHostileAck(b *testing.B) {
	now := time.Unix(1_000_000, 0)
	s := NewSender(ID{1, 1}, Limits{First: 16 << 20, UnderWay: 16 << 20})
	s.Announce(now)
	s.SetPaths(now, Paths{Relay: true})
	for range 20_000 {
		s.Post(now, Item{Address: "a", Size: 300, Value: "body"})
	}
	for _, ok := s.Next(now); ok; _, ok = s.Next(now) {
	}
	a := &pb.FlowAck{Epoch: 1, Id: 1, Receiver: 1, Received: 0}
	for i := uint64(2); i < 2000; i += 2 {
		a.ReceivedBeyond = append(a.ReceivedBeyond, &pb.Range{First: i, Last: 1 << 60}, &pb.Range{First: i, Last: i})
	}
	for b.Loop() {
		s.Acked(now, a)
	}
}
