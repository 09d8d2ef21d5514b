package p2pstub

import (
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
)

// Both stubs of a data channel write down that a message came by.
func TestHopsOfTheStubs(t *testing.T) {
	a, b := pair(t)
	overA, _ := setUp(t, a, b)
	m := text(1, "hyperty://example/a", "hyperty://example/b", "x")
	m.Trace = &pb.Trace{Record: true, Hops: []*pb.Hop{{Service: "bus", At: alice, Event: message.HopPosted, Time: 7}}}
	a.through(t, overA, m)
	a.through(t, overA, text(2, "hyperty://example/a", "hyperty://example/b", "y"))
	var way []string
	for _, h := range b.arrived(t).Trace.GetHops() {
		way = append(way, h.Service+" at "+h.At+" "+h.Event)
	}
	want := "bus at " + alice + " posted, p2pstub at " + alice + " sent, p2pstub at " + bob + " received"
	if got := strings.Join(way, ", "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if m := b.arrived(t); m.Trace != nil {
		t.Errorf("%v", m)
	}
}
