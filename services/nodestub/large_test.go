package nodestub

import (
	"context"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// largest is a request of so many bytes less than the most that a message may have.
func largest(t *testing.T, less int, from, to string, flow *pb.Flow) *pb.Message {
	t.Helper()
	m := numbered(1, from, to)
	m.Flow = flow
	content := make([]byte, message.MaxSize-less)
	for m.Resource = (&pb.Resource{Content: content}); codec.Size(m) > message.MaxSize-less; {
		m.Resource.Content = content[:len(m.Resource.Content)-(codec.Size(m)-message.MaxSize+less)]
	}
	if got := codec.Size(m); got != message.MaxSize-less {
		t.Fatalf("it has %d bytes", got)
	}
	return m
}

// A message that has no room for this stub's address is refused by itself: the session
// goes on, and so does what comes behind it.
func TestALargeMessageDoesNotEndTheSession(t *testing.T) {
	w := newWorld(t, "grpc", Limits{})
	w.live(t)
	w.node.send(t, largest(t, 1, bob, alice, nil))
	w.node.send(t, numbered(2, bob, alice))
	if post := receive(t, w.bus.posts, "post"); post.Message.Id != message.NumberID(2) {
		t.Errorf("post %s", post.Message.Id)
	}
	answer := receive(t, w.node.got, "refusal")
	if code, _ := message.Result(answer); code != fault.TooLarge || answer.Id != message.NumberID(1) {
		t.Errorf("the node got %v", answer)
	}
	select {
	case m := <-w.node.asked:
		t.Errorf("the session was opened again: %v", m)
	default:
	}
}

// A message of a flow leaves only with room for the address of the stub that takes it, so
// that it is refused where the flow hears of it.
func TestAMessageOfAFlowHasRoomForVia(t *testing.T) {
	o := testOutbox(Limits{})
	o.open()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	flow := &pb.Flow{Runtime: runtimeURL, Epoch: 1, Id: 2, Sequence: 3}
	for _, c := range []struct {
		less int
		flow *pb.Flow
		want fault.Code
	}{{0, nil, fault.OK}, {1, flow, fault.TooLarge}, {viaRoom, flow, fault.OK}} {
		m := largest(t, c.less, alice, bob, c.flow)
		err := o.put(ctx, codec.Bare(m))
		if code := fault.CodeOf(err); err == nil && c.want != fault.OK || err != nil && code != c.want {
			t.Errorf("%d bytes less, flow %v: %v", c.less, c.flow != nil, err)
		}
		o.sent(len(o.batch()))
	}
}
