package bus

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/services/bus/flow"
)

// shoreAct is something that happens at a shore.
type shoreAct struct {
	name string
	does func(s *shore)
}

func (a shoreAct) String() string { return a.name }

func anyShoreAct(t *rapid.T) shoreAct {
	n, who := rapid.IntRange(1, 70).Draw(t, "n"), rapid.IntRange(0, 1).Draw(t, "who")
	way, carried := rapid.IntRange(0, 1).Draw(t, "way"), rapid.Bool().Draw(t, "carried")
	place := rapid.SampledFrom([]string{carol, carol, carol, carol, erin, byName, "hyperty://a.example/nobody"}).Draw(t, "place")
	text := strings.Repeat("x", rapid.OneOf(rapid.IntRange(0, 400), rapid.Just(2000)).Draw(t, "length"))
	odd := rapid.SampledFrom([]int{0, 0, 0, 7, 20}).Draw(t, "odd")
	is := func(name string, does func(*shore)) shoreAct { return shoreAct{name, does} }
	what := fmt.Sprintf("%d of %d to %s over %d (odd: %d, carried: %v)", n, len(text), place, way, odd, carried)
	switch rapid.IntRange(0, 16).Draw(t, "act") {
	case 0, 1, 2, 3:
		return is("come "+what, func(s *shore) { s.arrive(way, s.frames(way, s.make(n, place, text, odd), carried)) })
	case 4:
		return is("are lost "+what, func(s *shore) { s.make(n, place, text, odd) })
	case 5:
		return is("are late "+what, func(s *shore) {
			for _, b := range s.frames(way, s.make(n, place, text, odd), carried) {
				s.late, s.lateBy = append(s.late, b), append(s.lateBy, way)
			}
		})
	case 6:
		return is("the first that is late comes", func(s *shore) {
			if len(s.late) > 0 {
				s.arrive(s.lateBy[0], s.late[:1])
				s.late, s.lateBy = s.late[1:], s.lateBy[1:]
			}
		})
	case 7:
		return is(fmt.Sprint("all comes again over ", way), func(s *shore) { s.again(way, false, carried) })
	case 8:
		return is(fmt.Sprint("the other bus was started anew, over ", way), func(s *shore) { s.again(way, true, carried) })
	case 9, 10, 11:
		return credits(97*n, place)
	case 12:
		return comesAgain(who)
	case 13:
		return is("a listener goes while some come, and is back: "+what, func(s *shore) {
			m := s.members[who]
			s.leave(m, m.listens[0])
			s.arrive(way, s.frames(way, s.make(n, place, text, odd), carried))
			s.listen(m, m.listens[0])
		})
	case 14:
		return is("another listens too, or no more", func(s *shore) { s.swap(s.members[1], added{carol, ""}) })
	case 15:
		if who == 0 {
			return is("the source is asked for while some come: "+what, func(s *shore) { s.askedFor(way, s.make(n, place, text, odd), carried) })
		}
		return is("the log tells all, or no more", func(s *shore) { s.level.Set(slog.LevelDebug - s.level.Level()) })
	}
	return is("time", func(*shore) { time.Sleep(time.Duration(n) * 7 * time.Millisecond) })
}

// askedFor has messages come before it is known again that their source may send them.
func (s *shore) askedFor(way int, messages []*pb.Message, carried bool) {
	s.bus.sources.forget([]string{bob})
	s.arrive(way, s.frames(way, messages, carried))
	line := sourceKey{from: bob, remote: remote, node: true}
	for range 3 { // what stands in the line may be of both ways
		for _, k := range shoreSources {
			s.bus.sources.mu.Lock()
			q := question{key: k, line: line}
			if ln := s.bus.sources.lines[line]; ln != nil {
				q.sequence = ln.question
			}
			s.bus.sources.mu.Unlock()
			s.bus.sources.answered(&q, &pb.SourceAnswer{Code: 200})
		}
	}
}

// Whether messages of a flow are taken in batches cannot be seen, whatever becomes of them,
// their listeners, their sender and the ways between.
func TestMessagesInBatchesAreLikeSingleOnes(t *testing.T) {
	batched := 0
	rapid.Check(t, func(r *rapid.T) {
		window := rapid.SampledFrom([]uint32{1, 500, 5000, 50_000}).Draw(r, "window")
		l := rapid.SampledFrom([]Limits{
			{}, {}, {Marks: 1}, {FlowBytes: 40_000}, {QueueMessages: 10, StreamBytes: 50_000}, {Flow: flow.Limits{Bytes: 30_000, Ahead: 20_000}},
		}).Draw(r, "limits")
		l.FullTime = 5 * time.Second
		acts := rapid.SliceOfN(rapid.Custom(anyShoreAct), 5, 40).Draw(r, "acts")
		var differs string
		synctest.Test(t, func(t *testing.T) {
			var n int
			differs, n = compareShores(newShore(t, l, window, true), newShore(t, l, window, false), acts)
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

// credits has all listeners of a place give credit.
func credits(bytes int, place string) shoreAct {
	return shoreAct{fmt.Sprintf("credit of %d for %s", bytes, place), func(s *shore) {
		for _, m := range s.members {
			m.credit(&pb.Credit{Listener: place, Bytes: uint32(bytes)}) // small
		}
	}}
}

// comesAgain cuts a listener off, which is back at once.
func comesAgain(who int) shoreAct {
	return shoreAct{fmt.Sprintf("listener %d comes again", who), func(s *shore) {
		s.cutOff(s.members[who].stream)
		s.attach(s.members[who])
	}}
}

// compareShores tells where it makes a difference that there are batches, and how many
// messages were seen in one.
func compareShores(one, other *shore, acts []shoreAct) (differs string, batched int) {
	defer one.end()
	defer other.end()
	for i, a := range acts {
		a.does(one)
		a.does(other)
		time.Sleep(200 * time.Millisecond) // all has been acknowledged
		with, n := one.look()
		without, none := other.look()
		batched += n
		if none > 0 {
			return "without batches there are some", batched
		}
		if differs := with.differs(without); differs != "" {
			return fmt.Sprintf("after %v:%s", acts[:i+1], differs), batched
		}
	}
	return "", batched
}

// differs tells what is not the same one by one.
func (s shoreSeen) differs(singles shoreSeen) (differs string) {
	all, others := s.all(), singles.all()
	for i := range max(len(all), len(others)) {
		var one, other string
		if i < len(all) {
			one = all[i]
		}
		if i < len(others) {
			other = others[i]
		}
		if one != other {
			differs += fmt.Sprintf("\nin batches %s\none by one %s", one, other)
		}
	}
	return differs
}

func (s shoreSeen) all() (all []string) {
	for _, came := range s.Came {
		all = append(all, fmt.Sprint(came))
	}
	return slices.Concat(all, s.Queues, s.Receivers, s.Counts, []string{fmt.Sprint("kept, open, held, talks, told ", s.Kept, s.Open, s.HeldBytes, s.Talks, s.Told)})
}
