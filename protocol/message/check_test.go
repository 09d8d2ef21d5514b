package message_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestTimeouts(t *testing.T) {
	for text, right := range map[string]bool{
		"1ns": true, "10m": true, "1h": false, "0": false, "-1s": false, "10m1ns": false, "": false, "soon": false, "5": false,
	} {
		d, err := message.ParseTimeout(text)
		if (err == nil) != right || !right && fault.From(err).Field != "timeout" {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
	for _, d := range []*durationpb.Duration{{}, {Seconds: -1}, {Seconds: 1, Nanos: -1}, {Nanos: 1e9}, durationpb.New(time.Hour)} {
		if err := message.CheckTimeout(d); fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("%v: %v", d, err)
		}
	}
	if err := message.CheckTimeout(nil); err != nil {
		t.Error(err)
	}
}

func TestWaits(t *testing.T) {
	for name, want := range map[string]pb.Wait{
		"accepted": pb.Wait_WAIT_ACCEPTED, "delivered": pb.Wait_WAIT_DELIVERED, "response": pb.Wait_WAIT_RESPONSE,
	} {
		if w, err := message.ParseWait(name); err != nil || w != want || message.CheckWait(w) != nil {
			t.Errorf("%s: %v, %v", name, w, err)
		}
	}
	_, byName := message.ParseWait("WAIT_RESPONSE")
	byNumber := message.CheckWait(99)
	if byName == nil || byNumber == nil || byName.Error() != byNumber.Error() {
		t.Errorf("%v, %v", byName, byNumber)
	}
}

// What makes a message too large is named.
func TestSizes(t *testing.T) {
	large := make([]byte, message.MaxSize)
	for field, m := range map[string]*pb.Message{
		"body":     {Body: large, Resource: &pb.Resource{Content: []byte{1}}},
		"resource": {Body: []byte("{}"), Resource: &pb.Resource{Content: large}},
	} {
		if f := fault.From(message.LargerThan(m)); f == nil || f.Code != fault.TooLarge || f.Field != field {
			t.Errorf("%s: %+v", field, f)
		}
	}
}
