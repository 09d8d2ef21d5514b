package nodestub

import (
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/peerbus/peerbus/internal/fault"
)

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
