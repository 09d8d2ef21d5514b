package cases

import (
	"context"

	"github.com/peerbus/peerbus/bench/baseline"
	"github.com/peerbus/peerbus/bench/drive"
	"github.com/peerbus/peerbus/bench/ours"
	"github.com/peerbus/peerbus/internal/local"
)

// of makes an opener of one of our ways, by processes as they ship.
func of(way func(context.Context, ours.Program) (*drive.Way, error), layout local.Layout) opener {
	return func(ctx context.Context, env Env) (*drive.Way, error) {
		return way(ctx, ours.Program{Binary: env.Binary, Layout: layout, Profiles: env.Profiles})
	}
}

// keeping makes an opener of one of our ways to a handler that may keep messages.
func keeping(way func(context.Context, ours.Program) (*drive.Way, error)) opener {
	return func(ctx context.Context, env Env) (*drive.Way, error) {
		return way(ctx, ours.Program{Binary: env.Binary, Layout: local.Separate, Profiles: env.Profiles, Keeps: true})
	}
}

// overSockets makes an opener of one of our ways over unix sockets.
func overSockets(way func(context.Context, ours.Program) (*drive.Way, error)) opener {
	return func(ctx context.Context, env Env) (*drive.Way, error) {
		return way(ctx, ours.Program{Binary: env.Binary, Layout: local.Separate, Profiles: env.Profiles, Sockets: true})
	}
}

// raw makes an opener of a baseline.
func raw(way func(context.Context) (*drive.Way, error)) opener {
	return func(ctx context.Context, _ Env) (*drive.Way, error) { return way(ctx) }
}

var (
	grpcRelay      = raw(baseline.Relay)
	answeringRelay = raw(baseline.AnsweringRelay)
	natsServer     = raw(baseline.NATS)
	pion           = raw(baseline.Pion)
	answeringPion  = raw(baseline.AnsweringPion)
)

const (
	besideRelay = "grpc-go relay, one message to a frame"
	besideNATS  = "NATS, publish to subscribe"
	besidePion  = "raw tuned pion v3"
)
