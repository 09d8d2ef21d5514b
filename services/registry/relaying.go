package registry

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// serveRoutes is a bus's stream at a standby. This goroutine writes; another reads.
func (s *standby) serveRoutes(stream grpc.BidiStreamingServer[pb.RoutesRequest, pb.RoutesResponse]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	b := s.relayed.enter()
	defer s.relayed.leave(b)
	if !s.answers() { // since a moment ago
		return errAnswersItself
	}
	go func() { cancel(s.readQuestions(stream, b)) }() // ends with the stream
	return writeRoutes(ctx, stream, b.out, b.over, func() error { return b.why }, s.metrics)
}

func (s *standby) readQuestions(stream grpc.BidiStreamingServer[pb.RoutesRequest, pb.RoutesResponse], b *relayedBus) error {
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, q := range req.Queries {
			s.relayed.route(b, q)
		}
		for _, q := range req.Sources {
			s.relayed.source(b, q)
		}
	}
}

// writeRoutes writes what waits for a bus, until its stream ends, or over is closed.
func writeRoutes(ctx context.Context, stream grpc.BidiStreamingServer[pb.RoutesRequest, pb.RoutesResponse],
	out *routesQueue, over <-chan struct{}, why func() error, m *metrics,
) error {
	for {
		resp, err := out.next()
		if err != nil {
			m.cut.Inc()
			return err
		}
		if resp != nil {
			if err := stream.Send(resp); err != nil {
				return err
			}
			continue
		}
		select {
		case <-out.wake:
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, io.EOF) {
				return fault.From(err)
			}
			return nil
		case <-over:
			return why()
		}
	}
}

// askAlong is a standby's own stream to the registry that leads.
func (s *standby) askAlong(ctx context.Context, c pb.RegistryClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Routes(ctx)
	if err != nil {
		return err
	}
	if served, err := stream.Header(); err != nil {
		return err
	} else if served == nil { // refused: it is not in office yet
		_, err := stream.Recv()
		return err
	}
	s.relayed.begin()
	defer s.relayed.end()
	var writer sync.WaitGroup
	defer writer.Wait()
	defer cancel()
	writer.Go(func() {
		defer cancel()
		rpc.SendAll(ctx, s.relayed.next, s.relayed.wake, stream.Send)
	})
	for {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		s.relayed.hear(resp)
	}
}
