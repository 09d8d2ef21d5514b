package bus

import (
	"context"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// replicated makes two runtimes of which the first has several buses: the stub of its
// p2p connections is attached to the second one, that of its Message Node to the third.
func replicated(t *testing.T, l Limits, n int) (as []*side, b *side) {
	as, b = stubless(t, l, n)
	stubbed(as, b)
	return as, b
}

// stubless is replicated without stubs.
func stubless(t *testing.T, l Limits, n int) (as []*side, b *side) {
	r := newRoster()
	b = newSide(t, "b", l)
	for range n {
		a := newSide(t, "a", l)
		a.roster, a.other = r, b
		as = append(as, a)
	}
	b.other = as[0]
	for _, s := range append(as, b) {
		s.routesTo(true, false)
		s.start()
	}
	linked(t, as)
	return as, b
}

func stubbed(as []*side, b *side) {
	n := len(as)
	b.direct = b.stub(pb.Component_COMPONENT_P2P_STUB, b.connURL(), overDirect)
	b.relay = b.stub(pb.Component_COMPONENT_NODE_STUB, b.nodeURL(), overRelay)
	direct := as[1%n].stub(pb.Component_COMPONENT_P2P_STUB, as[0].connURL(), overDirect)
	relay := as[2%n].stub(pb.Component_COMPONENT_NODE_STUB, as[0].nodeURL(), overRelay)
	for _, a := range as {
		a.direct, a.relay = direct, relay
	}
}

func linked(t *testing.T, as []*side) {
	t.Helper()
	for _, a := range as {
		eventually(t, "the replicas are linked", func() bool { return a.bus.mesh.connected() == len(as)-1 })
	}
}

func TestFlowFromAReplicaWhoseStubsAreAtOthers(t *testing.T) {
	as, b := replicated(t, quick(), 3)
	conversation(t, as[0], b, 500, func(i int) {
		if i%50 == 25 {
			for _, a := range as {
				a.routesTo(i%100 < 50, false)
			}
		}
	})
}

func TestFlowToAReplicaWhoseStubsAreAtOthers(t *testing.T) {
	as, b := replicated(t, quick(), 3)
	conversation(t, b, as[0], 500, func(i int) {
		if i%50 == 25 {
			b.routesTo(i%100 < 50, i%100 < 50)
		}
	})
	var in int
	for _, a := range as {
		_, n := a.bus.flows.sizes()
		in += n
	}
	if in != 1 {
		t.Errorf("%d replicas have the flow, want one", in)
	}
}

// Each replica has flows of its own, beside those of the others.
func TestReplicasHaveFlowsToOneRuntimeAtOnce(t *testing.T) {
	as, b := replicated(t, quick(), 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	to := b.hyperty(1)
	got := make(chan *pb.Message, 10_000)
	if _, err := b.app().Listen(ctx, to, func(_ context.Context, m *pb.Message) { got <- m }); err != nil {
		t.Fatal(err)
	}
	const n = 300
	for k, a := range as {
		app, from := a.app(), a.hyperty(k)
		go func() {
			for i := range n {
				if err := app.Send(ctx, numbered(from, to, i)); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	next := map[string]int{}
	for range n * len(as) {
		select {
		case m := <-got:
			if want := numbered("", "", next[m.From]).Id; m.Id != want {
				t.Fatalf("from %s came %s, want %s", m.From, m.Id, want)
			}
			next[m.From]++
		case <-ctx.Done():
			t.Fatalf("only %v came", next)
		}
	}
	if _, in := b.bus.flows.sizes(); in != len(as) {
		t.Errorf("there are %d flows, want one of each replica", in)
	}
}

func TestAFlowMovesToANewOwner(t *testing.T) {
	as, b := replicated(t, quick(), 3)
	joins := 0
	conversation(t, b, as[0], 400, func(i int) {
		if i%40 != 20 || joins == 6 {
			return
		}
		joins++
		a := newSide(t, "a", as[0].limits)
		a.roster, a.other = as[0].roster, b
		a.routesTo(true, false)
		a.start()
		as = append(as, a)
		linked(t, as)
	})
	for _, a := range as {
		if _, in := a.bus.flows.sizes(); in > 0 && !a.bus.mesh.owns(b.url) {
			t.Errorf("%s has a flow that is another one's", a.bus.mesh.id)
		}
	}
}

func TestTheOwnerOfAFlowIsKilled(t *testing.T) {
	as, b := replicated(t, quick(), 4)
	conversation(t, b, as[0], 400, func(i int) {
		if i%100 != 50 {
			return
		}
		owner := as[1].bus.mesh.owner(b.url).ID
		for _, a := range as {
			if a.seat.self.ID == owner {
				a.restart()
				linked(t, as)
				return
			}
		}
		t.Error("nobody owns the flow")
	})
}

// The receiver of a flow says that it is later than the one before, whatever the clocks
// of both say.
func TestANewOwnerIsALaterReceiverThanTheOneBefore(t *testing.T) {
	a := newAlone(t, Limits{})
	a.approveRemote(bob)
	p := a.peer()
	m := flowing(1, 7, 1)
	before := a.bus.flows.epoch + uint64(time.Hour)
	m.Flow.Receiver = before
	p.says(m)
	if got := a.ack(7).GetReceiver(); got <= before {
		t.Errorf("the receiver is %d, want one after %d", got, before)
	}
}

func TestFlowsWithReplicasBothWaysAtOnce(t *testing.T) {
	as, b := replicated(t, quick(), 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	echo := b.app()
	if _, err := echo.Listen(ctx, b.hyperty(1), func(ctx context.Context, m *pb.Message) {
		answer := numbered(m.To, m.From, 0)
		answer.Id, answer.Type = m.Id, "response"
		answer.Body = []byte(`{"code":200}`)
		_ = echo.Send(ctx, answer)
	}); err != nil {
		t.Fatal(err)
	}
	for k, a := range as {
		app := a.app()
		for i := range 50 {
			m := numbered(a.hyperty(1+k%2), b.hyperty(1), i)
			if _, err := app.Request(ctx, m); err != nil {
				t.Fatalf("request %d at %d: %v (%d)", i, k, err, fault.CodeOf(err))
			}
		}
	}
}
