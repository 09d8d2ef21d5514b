package message_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func flowMessage() *pb.Message {
	return &pb.Message{
		Id: "1", Type: "ping", From: "a", To: "b", Body: []byte(`{"x":1}`), Origin: []byte{1, 2, 255}, Number: 1 << 60,
		Flow: &pb.Flow{
			Runtime: "hyperty-runtime://a.example/1", Epoch: 1 << 62, Id: 3, Sequence: 9, Base: 4, After: 7, Replica: "r1", Receiver: 1 << 61,
			Acks: []*pb.FlowAck{{
				Epoch: 5, Id: 6, Receiver: 7, Received: 8, ReceivedBeyond: []*pb.Range{{First: 10, Last: 12}},
				Dealt: 2, DealtBeyond: []*pb.Range{{First: 4, Last: 4}},
				Refusals: []*pb.FlowRefusal{{Sequence: 4, Code: 404, Description: "no one"}},
			}},
		},
	}
}

func TestFlowInJSON(t *testing.T) {
	m := flowMessage()
	out, err := message.JSON(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := message.ParseJSON(out)
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if !proto.Equal(back, m) {
		t.Errorf("%v came back as %v by %s", m, back, out)
	}
	plain := message.WithoutFlow(m)
	out, err = message.JSON(plain)
	if want := `{"id":1,"type":"ping","from":"a","to":"b","body":{"x":1}}`; err != nil || string(out) != want {
		t.Errorf("plain: %s, %v", out, err)
	}
	if m.Flow == nil || m.Number == 0 {
		t.Error("the message itself has changed")
	}
}

// A field `flow` of someone else means nothing here, and is no error.
func TestFlowOfAnotherShape(t *testing.T) {
	for _, flow := range []string{`"x"`, `7`, `{}`, `{"runtime":7}`, `{"sequence":"x"}`, `{"sequence":3}`, `[1]`, `null`} {
		m, err := message.ParseJSON([]byte(`{"id":1,"type":"t","from":"a","to":"b","flow":` + flow + `}`))
		if err != nil || m.Flow != nil {
			t.Errorf("%s: %v, %v", flow, m.GetFlow(), err)
		}
	}
}

func TestARefusalNamesThePlaceInTheFlow(t *testing.T) {
	answer := message.Refuse(flowMessage(), fault.New(fault.TooMany, "full"))
	if f := answer.Flow; f == nil || !f.Refused || f.Sequence != 9 || f.Epoch != 1<<62 || f.Id != 3 || len(f.Acks) != 0 {
		t.Errorf("%v", answer)
	}
	plain := flowMessage()
	plain.Flow = nil
	if answer := message.Refuse(plain, fault.New(fault.TooMany, "full")); answer.Flow != nil || answer.Number != 0 {
		t.Errorf("%v", answer)
	}
}

func TestFlowIsBounded(t *testing.T) {
	for name, spoil := range map[string]func(*pb.Message){
		"flow.runtime": func(m *pb.Message) { m.Flow.Runtime = "" },
		"acks":         func(m *pb.Message) { m.Flow.Acks = make([]*pb.FlowAck, message.MaxAcks+1) },
		"nil":          func(m *pb.Message) { m.Flow.Acks = []*pb.FlowAck{nil} },
		"ranges":       func(m *pb.Message) { m.Flow.Acks[0].DealtBeyond = make([]*pb.Range, message.MaxRanges+1) },
		"origin":       func(m *pb.Message) { m.Origin = make([]byte, message.MaxOrigin+1) },
	} {
		m := flowMessage()
		if spoil(m); fault.CodeOf(message.Validate(m)) != fault.BadRequest {
			t.Errorf("%s is taken", name)
		}
	}
}
