package msgnode

import (
	"fmt"
	"slices"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// What comes in one frame is handled in its order, whichever way each message goes, and
// each is refused by itself.
func TestAFrameOfManyWays(t *testing.T) {
	b, rt := start(t, limited(func(l *Limits) { l.RelayQueue = 3 })), newRuntime()
	p, other := b.dial(t, "grpc").open(), b.dial(t, "websocket").open()
	queue := b.silence(p)
	stream := rawStream(t, b, frame("0", "open", rt, "mn:/session", ""))
	m := func(id int, typ, from, to string) *pb.Message {
		return &pb.Message{Id: fmt.Sprint(id), Type: typ, From: from, To: to}
	}
	own, far, wide := rt+"/x", p.runtime+"/sm", other.runtime+"/sm"
	foreign := m(9, "event", own, wide)
	foreign.Flow = &pb.Flow{Runtime: p.runtime, Sequence: 1}
	frame := []*pb.Message{
		m(1, "event", own, far), m(2, "event", own, far), m(3, "event", own, wide), {Id: "4"},
		m(5, "event", own, far), m(6, "event", own, far), m(7, "response", own, far), // no room for the last two
		m(8, "ping", own, "nobody"), foreign,
		m(10, "event", p.runtime+"/x", wide), m(11, "event", own, wide), m(12, "event", own, wide),
	}
	if err := stream.Send(&pb.MessageNodeConnectRequest{Messages: frame}); err != nil {
		t.Fatal(err)
	}
	if s := answers(t, stream, 6); s != "0 200, 4 400, 6 429, 8 404, 9 403, 10 403" {
		t.Error(s)
	}
	queue.goLive()
	for to, want := range map[*peer][]string{p: {"1", "2", "5"}, other: {"3", "11", "12"}} {
		var got []string
		for range want {
			got = append(got, string(to.receive().ID))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s got %v, want %v", to.runtime, got, want)
		}
	}
}
