package nodestub

import (
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// A node of another language writes the number in its own way.
func TestTheAnswerToOpen(t *testing.T) {
	l := link{openID: message.NumberID(7)}
	for id, want := range map[string]bool{"7": true, "7.0": true, "7e0": true, "8": false, `"7"`: false, "": false} {
		if got := l.answersOpen(&pb.Message{Id: id, Type: message.Response, From: address.Session}); got != want {
			t.Errorf("%s: %v", id, got)
		}
	}
	if l.answersOpen(&pb.Message{Id: "7", Type: message.Response, From: "x"}) {
		t.Error("it is of someone else")
	}
}

func TestTheWordOfANodeThatStops(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{status.Error(codes.Unavailable, "the node is stopping"), true},
		{status.Error(codes.Unavailable, `closing transport due to: EOF, received prior goaway: code: NO_ERROR, debug data: "graceful_stop"`), true},
		{stops{fault.New(fault.Unavailable, "the node closed the WebSocket: the node is stopping")}, true},
		{status.Error(codes.Unavailable, "error reading from server: EOF"), false},
		{status.Error(codes.PermissionDenied, "no"), false},
		{errNotTaken, false},
		{errors.New("odd"), false},
	} {
		if got := isStopping(tc.err); got != tc.want {
			t.Errorf("%v: %v", tc.err, got)
		}
	}
}
