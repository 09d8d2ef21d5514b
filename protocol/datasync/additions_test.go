package datasync_test

import (
	"reflect"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/datasync"
)

// What we add to a Connection object comes out as it went in, in the invitation and
// in updates.
func TestAdditionsTravel(t *testing.T) {
	mid, index := "0", uint16(0)
	own := datasync.Connection{
		Runtime: "hyperty-runtime://a/1", Owner: "o", Description: &datasync.Description{SDP: "v=0", Type: "offer"},
		Framing: []string{"peerbus.v1"}, Sequels: true, Packet: 33_600, Flow: []string{"peerbus.v1"}, Heartbeat: true, Early: true, Replaces: "connection://a/0",
	}
	r, err := datasync.NewReporter(datasync.Object{URL: "connection://a/1", Reporter: "r"}, own, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	inv, err := datasync.ParseInvitation(r.Invite("h"))
	if err != nil {
		t.Fatal(err)
	}
	o := datasync.NewObserver(inv)
	if got := o.Object().Connection(); !reflect.DeepEqual(got, own) {
		t.Errorf("%+v", got)
	}
	own.Description = &datasync.Description{SDP: "v=1", Type: "offer", Generation: 3}
	own.Candidates = []datasync.Candidate{{Type: "candidate", Candidate: "c", SDPMid: &mid, SDPMLineIndex: &index, Generation: 3}}
	own.Restart = 4
	take := func(m *pb.Message, err error) {
		t.Helper()
		if err == nil {
			_, err = o.Update(m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	take(r.Set(datasync.DescriptionAttribute, own.Description, time.Unix(1, 0)))
	take(r.Append(datasync.CandidatesAttribute, own.Candidates[0], time.Unix(2, 0)))
	take(r.Set(datasync.RestartAttribute, own.Restart, time.Unix(3, 0)))
	if got := o.Object().Connection(); !reflect.DeepEqual(got, own) {
		t.Errorf("%+v", got)
	}
}

// Nonsense in their place is passed over, and the rest is taken.
func TestAdditionsOfAnotherForm(t *testing.T) {
	inv, err := datasync.ParseInvitation(&pb.Message{From: "connection://a/1/subscription", Body: []byte(`{"source":"s","value":{"data":{
		"runtimeURL":"r","flow":3,"sequels":{},"packet":"long","heartbeat":"yes","early":1,"replaces":[],"restart":-1,
		"connectionDescription":{"sdp":"v=0","type":"offer","generation":"x"}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	want := datasync.Connection{Runtime: "r", Description: &datasync.Description{SDP: "v=0", Type: "offer"}}
	if got := inv.Object.Connection(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
