package fault

import (
	"log/slog"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Unreached tells gRPC's own error for a service that was never reached from the
// word of a service. gRPC says it in its text alone.
func Unreached(err error) bool {
	return unavailable(err, "connection error", "name resolver error")
}

// Broken tells gRPC's own error for a connection that is not there, or not any
// more, from the word of a service that cannot do it now.
func Broken(err error) bool {
	return Unreached(err) || unavailable(err, "closing transport", "error reading from server")
}

func unavailable(err error, prefixes ...string) bool {
	s, ok := status.FromError(err)
	return ok && s.Code() == codes.Unavailable &&
		slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s.Message(), p) })
}

// Left tells gRPC's own error for a connection whose server had said that it stops:
// one that is killed says nothing.
func Left(err error) bool {
	s, ok := status.FromError(err)
	return ok && s.Code() == codes.Unavailable && strings.Contains(s.Message(), "received prior goaway") &&
		strings.Contains(s.Message(), "graceful_stop")
}

// EndLevel is the level at which the end of a stream is logged: a service that has
// said that it stops is no reason for a warning.
func EndLevel(err error) slog.Level {
	if CodeOf(err) == Unavailable && (!Broken(err) || Left(err)) {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}
