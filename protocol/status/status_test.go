package status_test

import (
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/message"
	"github.com/peerbus/peerbus/protocol/status"
)

var all = []status.State{
	status.None, status.Created, status.InProgress, status.Live, status.Disconnected, status.Failed,
}

func TestTransitions(t *testing.T) {
	legal := map[[2]status.State]bool{
		{status.None, status.Created}:       true,
		{status.Created, status.InProgress}: true, {status.Created, status.Failed}: true,
		{status.InProgress, status.Live}: true, {status.InProgress, status.Failed}: true,
		{status.Live, status.Disconnected}: true, {status.Disconnected, status.Live}: true,
	}
	for _, before := range all {
		for _, after := range all {
			if got := after.CanFollow(before); got != legal[[2]status.State{before, after}] {
				t.Errorf("%v after %v: %v", after, before, got)
			}
		}
	}
	if status.Live.CanFollow(-1) || status.Live.CanFollow(99) {
		t.Error("a state out of range is followed by one")
	}
}

func TestNames(t *testing.T) {
	for _, s := range all[1:] {
		if back, err := status.Parse(s.String()); back != s || err != nil {
			t.Errorf("%v came back as %v, %v", s, back, err)
		}
		if status.FromProto(s.Proto()) != s || s.Proto() == pb.ConnectionState_CONNECTION_STATE_UNSPECIFIED {
			t.Errorf("%v is %v in protobuf", s, s.Proto())
		}
	}
	if status.Live.Proto() != pb.ConnectionState_CONNECTION_STATE_LIVE || status.FromProto(77) != status.None {
		t.Error("numbers differ from those of the API")
	}
	for text, want := range map[string]status.State{
		"create": status.Created, "connecting": status.InProgress, "connected": status.Live, "LIVE": status.Live,
	} {
		if s, err := status.Parse(text); s != want || err != nil {
			t.Errorf("%q is %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "none", "unknown", "lively"} {
		if s, err := status.Parse(text); err == nil {
			t.Errorf("%q is %v", text, s)
		}
	}
	if status.State(9).String() != "unknown" || status.State(-1).String() != "unknown" {
		t.Error("an unknown state has a name")
	}
}

func TestMessage(t *testing.T) {
	for _, c := range []struct {
		body status.Body
		want string
	}{
		{status.Body{State: status.Created, Remote: "hyperty-runtime://b/1"},
			`{"id":7,"type":"create","from":"s","to":"s/status","body":{"value":"created","resource":"hyperty-runtime://b/1"}}`},
		{status.Body{State: status.Failed, Remote: "hyperty-runtime://b/1", Reason: "no path"},
			`{"id":7,"type":"update","from":"s","to":"s/status","body":{"value":"failed","resource":"hyperty-runtime://b/1","desc":"no path"}}`},
	} {
		m := status.NewMessage("s", "7", c.body)
		if out, err := message.JSON(m); string(out) != c.want || err != nil {
			t.Errorf("%s, %v", out, err)
		}
		if back, err := status.Decode(m); back != c.body || err != nil {
			t.Errorf("%+v came back as %+v, %v", c.body, back, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, body := range []string{``, `{}`, `{"value":"live"}`, `{"value":"x","resource":"r"}`, `{"value":1,"resource":"r"}`} {
		if b, err := status.Decode(&pb.Message{Body: []byte(body)}); err == nil {
			t.Errorf("%s is %+v", body, b)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"value":"live","resource":"hyperty-runtime://b.example/r","desc":"why"}`))
	f.Add([]byte(`{"value":"create"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := status.Decode(&pb.Message{Body: body})
		if err != nil {
			return
		}
		again, err := status.Decode(&pb.Message{Body: b.Encode()})
		if err != nil || again != b {
			t.Errorf("%+v came back as %+v, %v", b, again, err)
		}
	})
}
