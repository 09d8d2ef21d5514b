package message_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/mem"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// What is wrong with a message is found whether it is decoded or not, and whatever is
// wrong with the one before it.
func TestValidator(t *testing.T) {
	for _, from := range []string{"hyperty://a/1", strings.Repeat("x", 5000)} {
		var in []*pb.Message
		for _, body := range []string{`{"value":1}`, ``, `{}`, `7`, `{"value":}`, `{"value":"` + "\xff" + `"}`} {
			for _, id := range []string{`"a"`, `7`, `{}`, `x`, `"` + strings.Repeat("a", message.MaxID) + `"`} {
				in = append(in, &pb.Message{Id: id, Type: "event", From: from, To: "hyperty://b/1", Body: []byte(body)})
			}
		}
		frame, err := codec.GRPC{}.Marshal(&pb.MessageNodeConnectRequest{Messages: in})
		if err != nil {
			t.Fatal(err)
		}
		var all codec.Messages
		if err := (codec.GRPC{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(frame.Materialize())}, &all); err != nil {
			t.Fatal(err)
		}
		var validator message.Validator
		alike := 0
		for i, c := range all {
			if c.Alike() {
				alike++
			}
			got, want := validator.Validate(c), message.Validate(in[i])
			if (got == nil) != (want == nil) || got != nil && *fault.From(got) != *fault.From(want) {
				t.Errorf("%v: %v, want %v", in[i], got, want)
			}
		}
		if alike == 0 {
			t.Error("none is alike")
		}
	}
}
