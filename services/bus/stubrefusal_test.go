package bus

import (
	"context"
	"testing"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// What a stub cannot send is not delivered.
func TestWhatAStubRefusesIsNotDelivered(t *testing.T) {
	h := newHouse(t, Limits{})
	h.registry.set(bob, stubURL)
	for _, component := range []pb.Component{pb.Component_COMPONENT_P2P_STUB, pb.Component_COMPONENT_NODE_STUB} {
		stub, stop := h.attach(component)
		_, err := stub.Listen(h.ctx, stubURL, func(ctx context.Context, m *pb.Message) {
			if m.Type != "event" {
				_ = stub.Send(ctx, message.Refuse(m, fault.New(fault.TooLarge, "too large for %s", m.To)))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		a := h.app()
		got := h.listen(a, alice)
		for i := range 10 {
			m := numbered(alice, bob, i)
			m.Type = "ping"
			if err := a.Post(h.ctx, m); err != nil {
				t.Fatal(err)
			}
			if code, _ := message.Result(h.next(got)); code != fault.TooLarge {
				t.Errorf("the sender is told %d", code)
			}
			m = numbered(alice, bob, 100+i)
			m.Type = "ping"
			if err := a.Post(h.ctx, m, client.Delivered()); fault.CodeOf(err) != fault.TooLarge || fault.From(err).Description != "too large for "+bob {
				t.Errorf("post %d: %v", i, err)
			}
			h.next(got)
			m = numbered(alice, bob, 200+i)
			m.Type = "event"
			if err := a.Post(h.ctx, m, client.Delivered()); err != nil {
				t.Errorf("what was sent: %v", err)
			}
		}
		m := numbered(alice, stubURL, 1) // to the stub itself
		m.Type = "ping"
		if err := a.Post(h.ctx, m, client.Delivered()); err != nil {
			t.Error(err)
		}
		h.next(got)
		if _, err := a.Request(h.ctx, ping(alice, bob)); err != nil {
			t.Error(err)
		}
		stop()
	}
}
