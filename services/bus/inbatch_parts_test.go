package bus

import (
	"fmt"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// ofEpoch is what is acknowledged of the flow of an epoch.
func (s *shore) ofEpoch(epoch uint64) said {
	s.t.Helper()
	f := s.bus.flows
	f.mu.Lock()
	defer f.mu.Unlock()
	for in := range s.ins() {
		if in.id.Epoch == epoch {
			in.mu.Lock()
			defer in.mu.Unlock()
			r := *in.receiver
			return allSaid(&r)
		}
	}
	s.t.Fatalf("there is no flow of epoch %d", epoch)
	return said{}
}

// give gives credit for the next messages that a member has, of which each has so many bytes.
func (s *shore) give(m *member, n int, size uint32) {
	m.credit(&pb.Credit{Listener: m.listens[0].address, Bytes: uint32(n) * size}) // small
}

// came is the numbers of what a member gets now, and the size of the last message.
func (s *shore) came(m *member) (numbers []uint64, size uint32) {
	for _, resp := range framesOf(s.t, m.stream) {
		for _, d := range resp.Deliveries {
			numbers, size = append(numbers, d.Message.Number), uint32(proto.Size(d.Message)) // small
		}
	}
	return numbers, size
}

// A batch is dealt with in parts; what is left when its listener is cut off comes again, and
// is dealt with in its place.
func TestABatchOfAFlowEndsInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShore(t, Limits{}, 50_000, true)
		defer s.end()
		s.ask()
		l := s.members[0]
		s.arrive(overDirect, s.frames(overDirect, s.make(8, carol, "x", 0), true))
		numbers, size := s.came(l)
		if len(numbers) != 8 || s.batched() != 8 {
			t.Fatalf("%v came, %d of them in a batch", numbers, s.batched())
		}
		s.give(l, 3, size)
		if got := fmt.Sprint(s.ofEpoch(1).dealt); got != "[1 2 3]" || s.batched() != 5 {
			t.Fatalf("%s are dealt with, %d in a batch", got, s.batched())
		}
		s.cutOff(l.stream)
		s.attach(l)
		if numbers, _ := s.came(l); fmt.Sprint(numbers) != "[4 5 6 7 8]" || s.batched() != 0 {
			t.Fatalf("%v came again, %d in a batch", numbers, s.batched())
		}
		s.give(l, 2, size)
		if got := fmt.Sprint(s.ofEpoch(1).dealt); got != "[1 2 3 4 5]" {
			t.Errorf("%s are dealt with", got)
		}
		s.leave(l, l.listens[0])
		if got := fmt.Sprint(s.ofEpoch(1).refused); got != "map[6:503 7:503 8:503]" {
			t.Errorf("%s are refused", got)
		}
		if n := s.bus.flows.seen.open(); n != 0 {
			t.Errorf("%d are open", n)
		}
		s.listen(l, l.listens[0])
	})
}

// What comes again, in the flow of a later bus, shares the fate of those of a batch: each by
// its number.
func TestWhatComesAgainSharesTheFateOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShore(t, Limits{}, 50_000, true)
		defer s.end()
		s.ask()
		l := s.members[0]
		s.arrive(overRelay, s.frames(overRelay, s.make(8, carol, "x", 0), true))
		_, size := s.came(l)
		s.again(overRelay, true, false)
		if numbers, _ := s.came(l); numbers != nil || len(s.ofEpoch(2).dealt) > 0 {
			t.Fatalf("%v came twice, %v are dealt with", numbers, s.ofEpoch(2).dealt)
		}
		s.give(l, 3, size)
		if got := fmt.Sprint(s.ofEpoch(2).dealt); got != "[1 2 3]" {
			t.Errorf("%s are dealt with", got)
		}
		s.leave(l, l.listens[0])
		if got := fmt.Sprint(s.ofEpoch(2).refused); got != "map[4:503 5:503 6:503 7:503 8:503]" {
			t.Errorf("%s are refused", got)
		}
		s.listen(l, l.listens[0])
	})
}

// A batch whose mark has been forgotten comes once more while it is open: each is over by
// itself.
func TestABatchComesAgainWithoutItsMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShore(t, Limits{Marks: 1}, 50_000, true)
		defer s.end()
		s.ask()
		one, two := s.members[0], s.members[1]
		s.arrive(overDirect, s.frames(overDirect, s.make(8, carol, "x", 0), true))
		_, size := s.came(one)
		s.arrive(overDirect, s.frames(overDirect, s.make(1, erin, "x", 0), true)) // takes the only mark
		s.open = s.open[:8]
		s.epoch = 2
		s.ask() // so that it could come in a batch again
		s.epoch = 1
		s.again(overDirect, true, true)
		if numbers, _ := s.came(one); len(numbers) != 8 || s.bus.flows.seen.open() != 17 || s.batched() != 8 {
			t.Fatalf("%v came again; %d are open, %d in a batch", numbers, s.bus.flows.seen.open(), s.batched())
		}
		s.cutOff(one.stream) // so that the batch becomes posts
		s.attach(one)
		s.came(one)
		s.give(one, 16, size)
		s.came(two)
		credit(two.stream, erin)
		if n := len(s.ofEpoch(2).dealt); n != 8 || s.bus.flows.seen.open() != 0 {
			t.Errorf("%d are dealt with, %d are open", n, s.bus.flows.seen.open())
		}
	})
}

// A talk that is over is forgotten once another one has begun.
func TestTalksOfBatchesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShore(t, Limits{}, 50_000, true)
		defer s.end()
		s.ask()
		for _, to := range []string{carol, erin} {
			s.arrive(overDirect, s.frames(overDirect, s.make(8, to, "x", 0), true))
		}
		for _, m := range s.members {
			s.came(m)
			credit(m.stream, m.listens[0].address)
		}
		if seen := &s.bus.flows.seen; len(seen.talks) != 1 || seen.open() != 0 {
			t.Errorf("%d talks, %d are open", len(seen.talks), seen.open())
		}
	})
}

// A talk that was forgotten, as what a batch had become was over before the beginning of it
// was told to be, is not taken for the one that came after it.
func TestTheTalkAfterABatch(t *testing.T) {
	a := newArrived(&Limits{Marks: 100, Refusals: 10})
	b := &batch{first: 1, places: make([]placed, 8)}
	key := talkKey{from: bob, to: carol, origin: "o"}
	if !a.takeBatch(b, key) {
		t.Fatal("it is not new")
	}
	var rest []*post
	for n := range uint64(5) {
		p, _ := arriving(carol, n+4)
		rest = append(rest, p)
	}
	a.opened(part{b, 3, 8}, rest)
	a.over(nil, rest...)
	next, _ := arriving(carol, 9)
	one, _ := arriving(erin, 1)
	other, _ := arriving(erin, 2)
	for _, p := range []*post{one, next, other} {
		if !a.first(p) {
			t.Fatal("it is not new")
		}
	}
	a.overPart(part{b, 0, 3})
	if a.talk(key).get(9) != next {
		t.Error("the next one is forgotten")
	}
}

// Responses are given to their requests, and are no batch.
func TestResponsesAreNoBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShore(t, Limits{}, 50_000, true)
		defer s.end()
		s.ask()
		all := s.make(8, carol, "x", 0)
		for _, m := range all {
			m.Type, m.Body = message.Response, []byte(`{"code":200}`)
		}
		s.arrive(overDirect, s.frames(overDirect, all, true))
		if numbers, _ := s.came(s.members[0]); len(numbers) != 8 || s.batched() != 0 {
			t.Errorf("%v came, %d in a batch", numbers, s.batched())
		}
	})
}

// What comes over a way whose source is approved does not overtake what waits for that of
// the other way.
func TestABatchWaitsBehindTheOtherWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShore(t, Limits{}, 50_000, true)
		defer s.end()
		s.ask()
		s.bus.sources.forget([]string{bob})
		direct := shoreSources[overDirect]
		s.bus.sources.answered(&question{key: direct, line: direct}, &pb.SourceAnswer{Code: 200})
		for _, way := range []int{overRelay, overDirect} {
			s.arrive(way, s.frames(way, s.make(8, carol, "x", 0), true))
		}
		if numbers, _ := s.came(s.members[0]); numbers != nil {
			t.Errorf("%v came before those that wait", numbers)
		}
		s.askedFor(overDirect, nil, true)
		if numbers, _ := s.came(s.members[0]); fmt.Sprint(numbers) != "[1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16]" {
			t.Errorf("%v came", numbers)
		}
	})
}
