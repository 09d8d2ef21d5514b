package local

import (
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func TestUnreadySaysAllThatIsMissing(t *testing.T) {
	up := &pb.ComponentStatus{Name: "bus", Connected: true}
	live := &pb.NodeSession{Domain: "d", State: "live"}
	for _, tc := range []struct {
		is   *pb.GetRuntimeResponse
		want string
	}{
		{&pb.GetRuntimeResponse{Domain: "d", Components: []*pb.ComponentStatus{up}, Nodes: []*pb.NodeSession{{Domain: "e", State: "failed"}, live}}, ""},
		{&pb.GetRuntimeResponse{Domain: "d", Components: []*pb.ComponentStatus{up, {Name: "p2pstub", Reason: "refused"}, {Name: "nodestub"}}},
			"p2pstub is not connected: refused; nodestub is not connected; no session with the Message Node of d"},
		{&pb.GetRuntimeResponse{Domain: "d", Nodes: []*pb.NodeSession{{Domain: "d", State: "connecting", Reason: "time-out"}}},
			"the session with the Message Node of d is connecting: time-out"},
	} {
		got := ""
		if err := Unready(tc.is); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
