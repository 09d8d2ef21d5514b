package bus

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// begin begins a stream of an origin; the test breaks it off with cutOff.
func (a *alone) begin(t *testing.T, origin string) *stream {
	t.Helper()
	s := newStream(a.bus, "test", pb.Component_COMPONENT_APPLICATION)
	s.cancel = func(error) { a.cutOff(s) }
	s.sequels = origin != "two" // some clients take them, some do not
	if err := a.bus.origins.attach(s, []byte(origin)); err != nil {
		t.Fatal(err)
	}
	return s
}

func (a *alone) cutOff(s *stream) {
	s.close()
	a.end(s)
	s.origin.detach(s)
	close(s.gone)
}

// told is what a stream has been told since the last time.
type told struct {
	outcomes map[uint64]*pb.Outcome
	settled  []*pb.Range
	came     []string
}

func (t told) code(sequence uint64) fault.Code { return fault.Code(t.outcomes[sequence].GetCode()) }

func tell(s *stream) told {
	said := told{outcomes: map[uint64]*pb.Outcome{}}
	for f, _ := s.take(); f != nil; f, _ = s.take() {
		for _, o := range f.Outcomes {
			said.outcomes[o.Sequence] = o
		}
		said.settled = append(said.settled, f.Settled...)
		for _, d := range f.Deliveries {
			said.came = append(said.came, d.Message.Id)
		}
	}
	return said
}

func numberedPost(to string, number, sequence uint64) *pb.Post {
	return &pb.Post{Message: numbered(alice, to, int(number)), Number: number, Sequence: sequence, Wait: pb.Wait_WAIT_ACCEPTED} // small
}

func (a *alone) approve(sources ...string) {
	for _, from := range sources {
		k := sourceKey{from: from}
		a.bus.sources.answered(&question{key: k, line: k}, &pb.SourceAnswer{Code: 200})
	}
}

func credit(s *stream, address string) { s.credit(&pb.Credit{Listener: address, Bytes: 1 << 20}) }

func TestAPostThatComesAgainIsTakenOnce(t *testing.T) {
	a := newAlone(t, Limits{})
	a.approve(alice)
	defer a.bus.origins.end()
	l := a.stream(t, carol, 0)
	first := a.begin(t, "x")
	first.post(numberedPost(carol, 1, 7), nil)
	if said := tell(first); said.code(7) != fault.OK || said.settled != nil {
		t.Fatalf("told %v", said)
	}
	a.cutOff(first)

	second := a.begin(t, "x")
	second.post(numberedPost(carol, 1, 9), nil)
	if said := tell(second); said.code(9) != fault.OK || said.settled != nil {
		t.Fatalf("told %v again", said)
	}
	if got := tell(l).came; len(got) != 1 {
		t.Fatalf("%v came", got)
	}
	credit(l, carol)
	if said := tell(second); len(said.settled) != 1 || said.settled[0].First != 1 {
		t.Fatalf("settled is %v", said.settled)
	}
	a.cutOff(second)

	third := a.begin(t, "x") // it had not read that
	third.post(numberedPost(carol, 1, 3), nil)
	if said := tell(third); said.code(3) != fault.OK || len(said.settled) != 1 {
		t.Errorf("told %v after it was settled", said)
	}
	if got := tell(l).came; got != nil {
		t.Errorf("%v came again", got)
	}
	a.cutOff(third)
}

func TestARefusalIsToldAgain(t *testing.T) {
	a := newAlone(t, Limits{Refusals: 2})
	a.approve(alice)
	defer a.bus.origins.end()
	first := a.begin(t, "x")
	for n := uint64(1); n <= 3; n++ {
		p := numberedPost(carol, n, n)
		p.Message.Type = "" // invalid
		first.post(p, nil)
	}
	a.cutOff(first)
	second := a.begin(t, "x")
	for n := uint64(1); n <= 3; n++ {
		second.post(numberedPost(carol, n, n), nil)
	}
	said := tell(second)
	for n, want := range []fault.Code{fault.Unavailable, fault.BadRequest, fault.BadRequest} {
		if got := said.code(uint64(n) + 1); got != want { // small
			t.Errorf("post %d: %d, not %d", n+1, got, want)
		}
	}
	if len(said.settled) != 1 || said.settled[0].Last != 3 {
		t.Errorf("settled is %v", said.settled)
	}
	a.cutOff(second)
}

func TestAnOutcomeFollowsItsClient(t *testing.T) {
	a := newAlone(t, Limits{})
	a.approve(alice, carol)
	defer a.bus.origins.end()
	l := a.stream(t, carol, 0)
	first := a.begin(t, "x")
	p := numberedPost(carol, 1, 1)
	p.Wait = pb.Wait_WAIT_RESPONSE
	first.post(p, nil)
	a.cutOff(first)
	second := a.begin(t, "x")
	p = numberedPost(carol, 1, 1)
	p.Wait = pb.Wait_WAIT_RESPONSE
	second.post(p, nil)
	if said := tell(second); said.outcomes[1] != nil {
		t.Fatalf("told %v before the response", said)
	}
	l.post(&pb.Post{Message: message.Answer(p.Message, fault.OK, nil)}, nil)
	if said := tell(second); said.outcomes[1].GetResponse() == nil || len(said.settled) != 1 {
		t.Errorf("told %v", said)
	}
	a.cutOff(second)
}

// What the reader of an old stream still has in hand is not taken: it comes again,
// on the new one, in its order.
func TestAnOldStreamPostsNothing(t *testing.T) {
	a := newAlone(t, Limits{})
	a.approve(alice)
	defer a.bus.origins.end()
	l := a.stream(t, carol, 0)
	first := a.begin(t, "x")
	second := a.begin(t, "x")
	first.post(numberedPost(carol, 2, 2), nil)
	second.post(numberedPost(carol, 1, 1), nil)
	second.post(numberedPost(carol, 2, 2), nil)
	if got := tell(l).came; len(got) != 2 || got[0] != message.NumberID(1) {
		t.Errorf("%v came", got)
	}
	a.cutOff(second)
}

func TestAnOriginIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{OriginTime: time.Minute})
		s := a.begin(t, "x")
		time.Sleep(2 * time.Minute)
		a.cutOff(s)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if n := a.bus.origins.count(); n != 1 {
			t.Fatalf("%d origins", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := a.bus.origins.count(); n != 0 {
			t.Errorf("%d origins", n)
		}
	})
}

func TestOriginsAreBounded(t *testing.T) {
	a := newAlone(t, Limits{Origins: 1})
	defer a.bus.origins.end()
	s := a.begin(t, "x")
	defer a.cutOff(s)
	for id, want := range map[string]fault.Code{"y": fault.TooMany, string(make([]byte, 65)): fault.BadRequest} {
		if err := a.bus.origins.attach(s, []byte(id)); fault.CodeOf(err) != want {
			t.Errorf("%q: %v", id, err)
		}
	}
	s = newStream(a.bus, "none", pb.Component_COMPONENT_APPLICATION)
	if err := a.bus.origins.attach(s, nil); s.origin != nil || err != nil {
		t.Errorf("none: %v, %v", s.origin, err)
	}
}

// A client that comes anew before its bus has noticed that it was gone.
func TestANewStreamTakesThePlaceOfTheOld(t *testing.T) {
	h := newHouse(t, Limits{})
	first := h.rawOf(pb.Component_COMPONENT_APPLICATION, "x")
	first.listen(carol, 1000)
	sender := h.raw(pb.Component_COMPONENT_REGISTRY)
	for n := range 3 {
		sender.send(&pb.AttachRequest{Posts: []*pb.Post{{Message: numbered(alice, carol, n)}}})
		first.delivery()
	}
	second := h.rawOf(pb.Component_COMPONENT_APPLICATION, "x")
	if _, err := first.call.Recv(); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the old stream ended with %v", err)
	}
	second.sequence++
	second.send(&pb.AttachRequest{Listeners: []*pb.ListenerChange{{Sequence: second.sequence, Address: carol}}})
	for n := 0; n < 3; {
		for _, d := range second.recv().Deliveries {
			if d.Message.Id != message.NumberID(int64(n)) {
				t.Fatalf("%s in place of %d", d.Message.Id, n)
			}
			n++
		}
	}
}

func TestDeliveryHasATimeOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t, Limits{RequestTime: 15 * time.Second})
		a.stream(t, carol, 0)
		p := newPost(a.by, numbered(alice, carol, 1))
		p.sequence, p.wait = 1, pb.Wait_WAIT_DELIVERED
		a.bus.post(p)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if code := a.by.code(1); code != int32(fault.Timeout) {
			t.Errorf("told %d", code)
		}
	})
}

// Of a post that comes again, what its sender was told before is told again, and
// nothing else, also in the moment before it is settled.
func TestWhatWasToldIsToldAgain(t *testing.T) {
	for _, want := range []*pb.Outcome{
		outcomeOf(7, nil), outcomeOf(7, errLate(carol)), outcomeOf(7, nobodyListens(carol)),
	} {
		p := newPost(itself{}, numbered(alice, carol, 1))
		p.wait = pb.Wait_WAIT_DELIVERED
		if got := p.known(); got != nil {
			t.Errorf("nothing is known, and it says %v", got)
		}
		p.tell(want)
		p.tell(outcomeOf(7, errLate(bob)))
		if got := p.known(); !proto.Equal(got, want) || got == want {
			t.Errorf("told %v, and then %v", want, got)
		}
	}
}

// An outcome may be lost with the stream that it was told on. Then its post is not settled
// on the next one before the client has asked for it there.
func TestAnOutcomeThatWasLostIsAskedFor(t *testing.T) {
	a := newAlone(t, Limits{})
	defer a.bus.origins.end()
	a.approve(alice)
	first := a.begin(t, "client")
	post := numberedPost(carol, 1, 7)
	post.Wait = pb.Wait_WAIT_DELIVERED
	a.stream(t, carol, 1<<20)
	first.post(post, nil)
	one := first.origin.posted(1)
	first.close() // it is over, and its client has not come back yet
	one.tell(outcomeOf(7, nil))
	a.cutOff(first)
	second := a.begin(t, "client")
	one.end(nil)
	if said := tell(second); len(said.settled) > 0 {
		t.Errorf("settled without an outcome: %v", said)
	}
	again := numberedPost(carol, 1, 7)
	again.Wait, again.Again = pb.Wait_WAIT_DELIVERED, true
	second.post(again, nil)
	if said := tell(second); said.code(7) != fault.OK || len(said.settled) != 1 {
		t.Errorf("it is told %v", said)
	}
}
