package gateway

import (
	"context"
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// connections is GET /v1/connections: the table, or the feed of its changes for
// whoever accepts a stream and nothing before it.
func (g *Gateway) connections(table http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		if kinds := acceptable(r); len(kinds) > 0 && slices.Contains([]string{typeSSE, typeNDJSON}, kinds[0]) {
			g.serveFeed(w, r)
			return
		}
		table(w, r)
	}
}

// serveFeed is GET /v1/connections:watch: the table, then its changes.
func (g *Gateway) serveFeed(w http.ResponseWriter, r *http.Request) {
	if err := g.streamFeed(w, r); err != nil {
		writeError(w, err)
	}
}

// streamFeed gives an error when nothing has been sent yet.
func (g *Gateway) streamFeed(w http.ResponseWriter, r *http.Request) error {
	sse, err := accepts(r)
	if err != nil {
		return err
	}
	if _, err := query(r); err != nil {
		return err
	}
	select {
	case g.feeds <- struct{}{}:
		defer func() { <-g.feeds }()
	default:
		return fault.New(fault.TooMany, "there are %d feeds, which is the bound", cap(g.feeds))
	}
	ctx, end, err := g.begin(r.Context())
	if err != nil {
		return err
	}
	defer end()
	feed, first, err := g.watch(ctx)
	if err != nil {
		return err
	}
	out, closeStream, err := g.openStream(ctx, w, sse, "")
	defer closeStream()
	if err == nil {
		g.pumpFeed(ctx, out, first, feed.Recv)
	}
	return nil
}

// watch waits for the first answer for as long as a call may take.
func (g *Gateway) watch(ctx context.Context) (feed grpc.ServerStreamingClient[pb.WatchConnectionsResponse], first *pb.WatchConnectionsResponse, err error) {
	watching, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(g.limits.Call, cancel)
	feed, err = g.registry.WatchConnections(watching, &pb.WatchConnectionsRequest{})
	if err == nil {
		first, err = feed.Recv()
	}
	switch {
	case !late.Stop() && ctx.Err() == nil:
		err = fault.New(fault.Unavailable, "the registry cannot be reached")
	case err == nil:
		context.AfterFunc(ctx, cancel)
		return feed, first, nil
	}
	cancel()
	return nil, nil, fault.From(err)
}

// pumpFeed writes changes until either side ends.
func (g *Gateway) pumpFeed(ctx context.Context, out *eventWriter, first *pb.WatchConnectionsResponse, next func() (*pb.WatchConnectionsResponse, error)) {
	changes := make(chan *pb.WatchConnectionsResponse)
	g.streams.Go(func() { // ends with ctx, which lives no longer than the request
		defer close(changes)
		for c, err := first, error(nil); err == nil; c, err = next() {
			select {
			case changes <- c:
			case <-ctx.Done():
				return
			}
		}
	})
	beat := time.NewTicker(g.limits.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case c, ok := <-changes:
			if !ok {
				return // the client comes again, and gets the table anew
			}
			text, err := g.codec.Marshal(c)
			if err != nil || out.event("connections", "", text) != nil || out.flush() != nil {
				return
			}
			beat.Reset(g.limits.Heartbeat)
		case <-beat.C:
			if out.beat() != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
