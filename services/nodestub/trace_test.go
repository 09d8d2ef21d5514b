package nodestub

import (
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

func hopsOf(m *pb.Message) string {
	var all []string
	for _, h := range m.GetTrace().GetHops() {
		all = append(all, h.Service+" "+h.Event)
	}
	return strings.Join(all, ", ")
}

// The stub writes down what it sends and receives, over both transports; of a message
// without a trace it changes nothing.
func TestHopsOfTheStub(t *testing.T) {
	onBoth(t, func(t *testing.T, transport string) {
		w := newWorld(t, transport, Limits{})
		w.live(t)
		out, in := numbered(1, alice, bob), numbered(2, bob, alice)
		out.Trace = &pb.Trace{Record: true, Hops: []*pb.Hop{{Service: "bus", Event: message.HopPosted, Time: 7}}}
		in.Trace = &pb.Trace{Record: true}
		w.bus.send(t, out)
		w.bus.send(t, numbered(3, alice, bob))
		if m := receive(t, w.node.got, "message at the node"); hopsOf(m) != "bus posted, nodestub sent" || m.Trace.Hops[1].At != runtimeURL {
			t.Errorf("%v", m)
		}
		if m := receive(t, w.node.got, "message at the node"); m.Trace != nil {
			t.Errorf("%v", m)
		}
		w.node.send(t, in)
		if p := receive(t, w.bus.posts, "post"); hopsOf(p.Message) != "nodestub received" {
			t.Errorf("%v", p)
		}
	})
}

// What could not be sent is sent later, from then on.
func TestHopsOfWhatIsSentAgain(t *testing.T) {
	w := newWorld(t, "grpc", Limits{})
	wt := w.live(t)
	w.down(true)
	w.node.breakOff()
	w.watchUntil(t, wt, "disconnected")
	m := numbered(1, alice, bob)
	m.Trace = &pb.Trace{Record: true}
	w.bus.send(t, m)
	w.down(false)
	if m := receive(t, w.node.got, "message at the node"); hopsOf(m) != "nodestub sent" {
		t.Errorf("%v", m)
	}
}
