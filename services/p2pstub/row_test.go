package p2pstub

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/framing"
)

// Messages of a flow go from bus to bus in rows where both sides and the bus take them, and as the
// same messages, in order, where somebody does not. One that is not valid is the bus's to refuse.
func TestRowsGoThrough(t *testing.T) {
	for name, tc := range map[string]struct{ theirs, bus bool }{
		"rows":                        {true, true},
		"a bus that takes none":       {true, false},
		"a peer that announces none":  {false, true},
		"neither of them knows those": {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.rows = tc.bus
			w.meddle = func(m *pb.Message) bool {
				if !tc.theirs {
					m.Body = bytes.ReplaceAll(m.Body, []byte(`"rows":true,`), nil)
				}
				return false
			}
			a, b := w.join(t, alice, testLimits()), w.join(t, bob, testLimits())
			overA, _ := setUp(t, a, b)
			const rows, each = 40, 60
			var want []*pb.Message
			for i := range rows {
				for n := range each {
					at := uint64(i*each + n + 1)                                                         // small
					m := text(int(at), "hyperty://example/a", "hyperty://example/b", fmt.Sprint("x", n)) // small
					m.Origin, m.Number, m.Flow = []byte("someone"), at, &pb.Flow{Runtime: alice, Epoch: 1, Id: 1, Sequence: at + 5, Base: 1}
					if at == 77 {
						m.Body = []byte("none")
					}
					want = append(want, m)
				}
				a.bus.deliverRow(overA, want[i*each:])
			}
			if !tc.theirs { // the stub looks at each
				want = append(want[:76], want[77:]...)
			}
			for _, m := range want {
				got := b.arrived(t)
				if m.Via = b.handler; !proto.Equal(got, m) {
					t.Fatalf("%v, want %v", got, m)
				}
			}
			if n := b.bus.rolled.Load(); (n > rows*each/2) != (tc.theirs && tc.bus) || n > 0 != (tc.theirs && tc.bus) {
				t.Errorf("%d sequels were posted", n)
			}
			if in, out := b.counted(t, "messages_total", "in", framing.PeerBus), a.counted(t, "messages_total", "out", framing.PeerBus); in != rows*each || out != in {
				t.Errorf("%v of %v messages were counted", in, out)
			}
		})
	}
}
