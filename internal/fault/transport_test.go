package fault_test

import (
	"errors"
	"log/slog"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/peerbus/peerbus/internal/fault"
)

func TestWhoSaysUnavailable(t *testing.T) {
	for _, tc := range []struct {
		err               error
		unreached, broken bool
		level             slog.Level
	}{
		{status.Error(codes.Unavailable, `connection error: desc = "refused"`), true, true, slog.LevelWarn},
		{status.Error(codes.Unavailable, "name resolver error: no such host"), true, true, slog.LevelWarn},
		{status.Error(codes.Unavailable, "error reading from server: EOF"), false, true, slog.LevelWarn},
		{status.Error(codes.Unavailable, "closing transport due to: EOF"), false, true, slog.LevelWarn},
		{status.Error(codes.Unavailable, `closing transport due to: connection error: desc = "error reading from server: EOF", `+
			`received prior goaway: code: NO_ERROR, debug data: "graceful_stop"`), false, true, slog.LevelInfo},
		{status.Error(codes.Unavailable, `closing transport due to: connection error: desc = "error reading from server: EOF", `+
			`received prior goaway: code: ENHANCE_YOUR_CALM, debug data: "too_many_pings"`), false, true, slog.LevelWarn},
		{status.Error(codes.Unavailable, "the bus is stopping"), false, false, slog.LevelInfo},
		{fault.New(fault.Unavailable, "the bus is stopping"), false, false, slog.LevelInfo},
		{status.Error(codes.NotFound, "connection error"), false, false, slog.LevelWarn},
		{errors.New("odd"), false, false, slog.LevelWarn},
		{nil, false, false, slog.LevelWarn},
	} {
		if u, b, l := fault.Unreached(tc.err), fault.Broken(tc.err), fault.EndLevel(tc.err); u != tc.unreached || b != tc.broken || l != tc.level {
			t.Errorf("%v: %v, %v, %v", tc.err, u, b, l)
		}
	}
}
