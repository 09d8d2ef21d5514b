package bus

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// stretch is messages that a hostile bus sends one after the other. What it says of them
// follows from where the ones before it have ended.
type stretch struct {
	n                    int
	sequence, number     int // from the next ones on
	base, after, replica int
	epoch                int
	flow, from, origin   int
	to                   string
	length, odd          int
}

func anyStretch(t *rapid.T) stretch {
	seldom := func(name string, from, to int) int {
		if rapid.IntRange(0, 3).Draw(t, "is "+name) > 0 {
			return 0
		}
		return rapid.IntRange(from, to).Draw(t, name)
	}
	return stretch{
		n: rapid.IntRange(1, 30).Draw(t, "n"), sequence: seldom("sequence", -30, 10), number: seldom("number", -30, 10),
		base: seldom("base", -5, 40), after: seldom("after", -20, 20), replica: seldom("replica", 0, 1), epoch: seldom("epoch", -1, 1),
		flow: seldom("flow", 0, 1), from: seldom("from", 0, 1), origin: seldom("origin", 0, 1),
		to:     rapid.SampledFrom([]string{carol, carol, carol, erin, byName, "hyperty://a.example/nobody"}).Draw(t, "to"),
		length: rapid.SampledFrom([]int{0, 40, 40, 300, 2000}).Draw(t, "length"), odd: rapid.SampledFrom([]int{0, 0, 0, 0, 7}).Draw(t, "odd"),
	}
}

// foe is a hostile bus, that says of its messages what it likes.
type foe struct {
	epoch     int
	sequences [2]int
	numbers   [2]int
}

func (f *foe) messages(all []stretch) (made []*pb.Message) {
	for _, s := range all {
		f.epoch = max(f.epoch+s.epoch, 1)
		at, number := &f.sequences[s.flow], &f.numbers[s.origin]
		*at, *number = max(*at+s.sequence, 0), max(*number+s.number, 0)
		for i := range s.n {
			*at++
			*number++
			m := &pb.Message{
				Id: fmt.Sprint(len(made)), Type: "event", From: []string{bob, alice}[s.from], To: s.to,
				Body:   fmt.Appendf(nil, `{"value":%q}`, strings.Repeat("x", s.length)),
				Origin: [][]byte{[]byte("o"), []byte("q")}[s.origin], Number: uint64(*number), // small
				Flow: &pb.Flow{
					Runtime: remote, Epoch: uint64(f.epoch), Id: uint64(77 + s.flow), Replica: []string{"", "r"}[s.replica], // small
					Sequence: uint64(*at), Base: uint64(max(*at-10+s.base, 1)), // small
				},
			}
			if s.after != 0 && i == 0 {
				m.Flow.After = uint64(max(*at+s.after, 0)) // small
			}
			if s.base > 0 {
				m.Flow.Base = uint64(max(*at-10-i+s.base, 1)) // small
			}
			if s.odd > 0 && i%s.odd == s.odd-1 {
				oddly(m, i/s.odd)
			}
			made = append(made, m)
		}
	}
	return made
}

func anyFoeAct(t *rapid.T, f *foe) shoreAct {
	if rapid.IntRange(0, 2).Draw(t, "comes") == 0 {
		return anyPlainAct(t)
	}
	way, carried := rapid.IntRange(0, 1).Draw(t, "way"), rapid.Bool().Draw(t, "carried")
	all := rapid.SliceOfN(rapid.Custom(anyStretch), 1, 6).Draw(t, "stretches")
	m := f.messages(all)
	return shoreAct{fmt.Sprintf("come over %d (carried: %v) %+v\n", way, carried, all), func(s *shore) { s.arrive(way, stubFrames(way, m, carried)) }}
}

func anyPlainAct(t *rapid.T) shoreAct {
	n, who := rapid.IntRange(1, 70).Draw(t, "n"), rapid.IntRange(0, 1).Draw(t, "who")
	place := rapid.SampledFrom([]string{carol, carol, erin, byName}).Draw(t, "place")
	is := func(name string, does func(*shore)) shoreAct { return shoreAct{name, does} }
	switch rapid.IntRange(0, 6).Draw(t, "act") {
	case 0, 1, 2:
		return credits(97*n, place)
	case 3:
		return comesAgain(who)
	case 4:
		return is(fmt.Sprintf("listener %d goes for some time", who), func(s *shore) {
			m := s.members[who]
			s.leave(m, m.listens[0])
			time.Sleep(time.Duration(n) * 7 * time.Millisecond)
			s.listen(m, m.listens[0])
		})
	case 5:
		return is("another listens too, or no more", func(s *shore) { s.swap(s.members[1], added{carol, ""}) })
	}
	return is("time", func(*shore) { time.Sleep(time.Duration(n) * 7 * time.Millisecond) })
}

// Whatever another bus says of its messages, it cannot be seen whether they are taken in
// batches.
func TestHostileMessagesInBatchesAreLikeSingleOnes(t *testing.T) {
	batched := 0
	rapid.Check(t, func(r *rapid.T) {
		window := rapid.SampledFrom([]uint32{1, 500, 5000, 50_000}).Draw(r, "window")
		l := rapid.SampledFrom([]Limits{
			{}, {}, {Marks: 1}, {Refusals: 2}, {FlowBytes: 40_000}, {QueueMessages: 10, StreamBytes: 50_000}, {Flow: flow.Limits{Bytes: 30_000, Ahead: 20_000}}, {RemoteFlows: 1},
		}).Draw(r, "limits")
		l.FullTime = 5 * time.Second
		f := &foe{epoch: 1}
		acts := make([]shoreAct, rapid.IntRange(1, 25).Draw(r, "acts"))
		for i := range acts {
			acts[i] = anyFoeAct(r, f)
		}
		var differs string
		synctest.Test(t, func(t *testing.T) {
			one, other := newShore(t, l, window, true), newShore(t, l, window, false)
			for _, s := range []*shore{one, other} {
				for _, k := range []sourceKey{{from: alice, remote: remote}, {from: alice, node: true}} {
					s.bus.sources.answered(&question{key: k, line: k}, &pb.SourceAnswer{Code: 200})
				}
			}
			var n int
			differs, n = compareShores(one, other, acts)
			batched += n
		})
		if differs != "" {
			r.Fatal(differs)
		}
	})
	if batched == 0 {
		t.Error("nothing was taken in batches")
	}
}
