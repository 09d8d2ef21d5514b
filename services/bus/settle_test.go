package bus

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

func (a *alone) listenAs(t *testing.T, origin, address string, window uint32) *stream {
	t.Helper()
	s := a.begin(t, origin)
	if err := a.bus.addListener(s, &pb.ListenerChange{Address: address, Window: window}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *posts) settledPosts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.over)
}

// settledOnce checks how posts were settled, each once.
func (a *alone) settledOnce(t *testing.T, want fault.Code, sequences ...uint64) {
	t.Helper()
	a.by.mu.Lock()
	defer a.by.mu.Unlock()
	for _, n := range sequences {
		if got := a.by.over[n]; !slices.Equal(got, []fault.Code{want}) {
			t.Errorf("post %d was settled with %v, not once with %d", n, got, want)
		}
	}
}

// A listener that was cut off has all that it had taken and not dealt with when it
// is back, in order, whatever room there is; each is settled once.
func TestAListenerComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{QueueMessages: 2, WaitMessages: 5, FullTime: 5 * time.Second})
		l := a.listenAs(t, "x", carol, 1)
		a.post(carol)
		if got := tell(l).came; len(got) != 1 { // in its hands
			t.Fatalf("%v came", got)
		}
		for range 3 { // two in the queue, one in the overflow
			a.post(carol)
		}
		a.cutOff(l)
		a.post(carol) // and one while it is away

		l = a.listenAs(t, "x", carol, 1)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		for n := range int64(3) {
			if got := tell(l).came; len(got) != 1 || got[0] != message.NumberID(n+1) {
				t.Fatalf("%v came in place of %d", got, n+1)
			}
			credit(l, carol)
		}
		a.settledOnce(t, fault.OK, 1, 2, 3)
		a.settledOnce(t, fault.TooMany, 4, 5) // they were never taken
		a.cutOff(l)
		a.bus.origins.end()
	})
}

func TestAListenerDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{ReturnTime: 10 * time.Second})
		defer a.bus.origins.end()
		l := a.listenAs(t, "x", carol, 1)
		sent, queued := a.post(carol), a.post(carol)
		tell(l)
		a.cutOff(l)
		later := a.post(carol)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if n := a.by.settledPosts(); n != 0 {
			t.Fatalf("%d are settled before their time", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		a.settledOnce(t, fault.Unavailable, sent, queued, later)
		a.bus.table.mu.Lock()
		defer a.bus.table.mu.Unlock()
		if a.bus.table.places[carol] != nil {
			t.Error("its place is left")
		}
	})
}

// One that is removed of its client's will is not waited for.
func TestAListenerThatLeavesIsNotAwaited(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.bus.origins.end()
	l := a.listenAs(t, "x", carol, 0)
	n := a.post(carol)
	if err := a.bus.removeListener(l, carol, ""); err != nil {
		t.Fatal(err)
	}
	a.settledOnce(t, fault.Unavailable, n)
	if a.bus.table.heard(carol) {
		t.Error("it is waited for")
	}
	a.cutOff(l)
}

// What several had is refused when none of them has dealt with it.
func TestAllListenersAreLost(t *testing.T) {
	a := newAlone(t, Limits{})
	one, two := a.stream(t, carol, 0), a.stream(t, carol, 0)
	dealt := a.post(carol)
	tell(one)
	credit(one, carol)
	lost := a.post(carol)
	tell(one)
	tell(two)
	a.end(one)
	a.end(two)
	a.settledOnce(t, fault.OK, dealt)
	a.settledOnce(t, fault.Unavailable, lost)
}

// A response that comes before the last one, and nobody listens to, is over.
func TestAProvisionalResponseIsSettled(t *testing.T) {
	a := newAlone(t, Limits{})
	l := a.stream(t, carol, 0)
	request := newPost(a.by, numbered(alice, carol, 1))
	request.sequence, request.wait = 1, pb.Wait_WAIT_RESPONSE
	a.bus.post(request)
	tell(l)
	answer := newPost(a.by, message.Answer(request.m, 100, nil))
	answer.sequence = 2
	a.bus.post(answer)
	a.settledOnce(t, fault.OK, 2)
	last := newPost(a.by, message.Answer(request.m, fault.OK, nil))
	last.sequence = 3
	a.bus.post(last)
	a.settledOnce(t, fault.OK, 1, 3)
}

// A bus that was just started waits for the listeners of what comes in flows, and
// not for more of them than it may.
func TestAYoungBusWaitsForListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{ReturnTime: 10 * time.Second, WaitAddresses: 2})
		var posts []*post
		for n := range uint64(3) {
			p := newPost(a.by, numbered(bob, alice+string(rune('0'+n)), int(n))) // small
			p.sequence, p.flowing, p.ingress = n+1, true, &pb.Ingress{}
			a.bus.deliver(p)
			posts = append(posts, p)
		}
		a.settledOnce(t, fault.TooMany, 3)
		if n := len(a.bus.table.places); n != 2 {
			t.Errorf("%d places", n)
		}
		l := a.stream(t, posts[0].m.To, 0)
		if got := tell(l).came; len(got) != 1 {
			t.Errorf("%v came", got)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		a.settledOnce(t, fault.NotFound, 2) // not 503: nobody was cut off
		a.end(l)
		if n := len(a.bus.table.places); n != 0 {
			t.Errorf("%d places are left", n)
		}
	})
}

// Under another name likewise.
func TestAListenerOfAnAliasComesBack(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.bus.origins.end()
	const other = carol + "/changes"
	alias := &pb.ListenerChange{Address: other, LeadsTo: carol}
	l := a.listenAs(t, "x", carol, 0)
	if err := a.bus.addListener(l, alias); err != nil {
		t.Fatal(err)
	}
	n := a.post(other)
	tell(l)
	a.cutOff(l)
	l = a.listenAs(t, "x", carol, 0)
	if err := a.bus.addListener(l, alias); err != nil {
		t.Fatal(err)
	}
	if got := tell(l).came; len(got) != 1 {
		t.Errorf("%v came", got)
	}
	credit(l, other)
	a.settledOnce(t, fault.OK, n)
	a.cutOff(l)
}

// One that was taken before, and that nobody takes now, is refused.
func TestWhatWasTakenBeforeMayBeRefused(t *testing.T) {
	a := newAlone(t, Limits{})
	a.stream(t, carol, 0)
	in := a.bus.table.places[carol].own[0]
	p := newPost(a.by, numbered(alice, carol, 1))
	if done, err := offer(p, []*inbox{in}); !done || err != nil {
		t.Fatalf("%t, %v", done, err)
	}
	in.leaveAll()
	if done, err := offer(p, []*inbox{in}); !done || fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("%t, %v", done, err)
	}
}

// What went to several listeners in turn is settled by each of them, and told together.
func TestWhatIsSettledInTurnIsOneRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{})
		defer a.bus.origins.end()
		s := a.begin(t, "x")
		tell(s)
		s.mu.Lock()
		for listener := range uint64(3) {
			for turn := range uint64(4) {
				number := 10 + 3*turn + listener
				s.settling.add(number, number, 10, s)
			}
		}
		s.settling.add(30, 33, 10, s)
		s.settling.add(4, 4, 10, s)
		s.mu.Unlock()
		f, _ := s.take()
		var got []codec.Range
		for _, r := range f.Settled {
			got = append(got, codec.Range{First: r.First, Last: r.Last})
		}
		if want := []codec.Range{{First: 4, Last: 4}, {First: 10, Last: 21}, {First: 30, Last: 33}}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// What is settled goes with the outcome that is to be sent anyhow, and needs no timer;
// without one it has its own time.
func TestWhatIsSettledGoesWithAnOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{})
		defer a.bus.origins.end()
		s := a.begin(t, "x")
		tell(s)
		settled := func(first, last uint64) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.settling.add(first, last, 10, s)
		}
		s.outcome(&pb.Outcome{Sequence: 7, Code: int32(fault.OK)}, nil)
		settled(1, 2)
		settled(3, 3)
		if s.settling.timer != nil {
			t.Error("a timer is set for what goes with an outcome")
		}
		if f, _ := s.take(); len(f.Outcomes) != 1 || len(f.Settled) != 1 || f.Settled[0].Last != 3 {
			t.Errorf("the frame has %v, and settles %v", f.Outcomes, f.Settled)
		}
		settled(4, 4)
		for len(s.wake) > 0 {
			<-s.wake
		}
		time.Sleep(settleSoon)
		synctest.Wait()
		if len(s.wake) == 0 {
			t.Fatal("what is settled by itself is not told")
		}
		if f, _ := s.take(); len(f.Settled) != 1 || f.Settled[0].First != 4 {
			t.Errorf("the frame settles %v", f.Settled)
		}
	})
}
