package gateway

import (
	"context"
	"net/http"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// readyTime is how long a probe may take: less than those who probe wait.
const readyTime = 900 * time.Millisecond

// serveReady is GET /readyz: 200 once the runtime can send and be reached.
func (g *Gateway) serveReady(w http.ResponseWriter, r *http.Request) {
	if err := g.Ready(r.Context()); err != nil {
		writeError(w, fault.New(fault.Unavailable, "not ready: %s", fault.From(err).Description))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// Ready says what the runtime lacks to send and to be reached; nil when it can. It
// takes less than a second.
func (g *Gateway) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	resp, err := g.registry.GetRuntime(ctx, &pb.GetRuntimeRequest{})
	if err != nil {
		return err
	}
	return unready(resp)
}

// unready says what a runtime lacks.
func unready(r *pb.GetRuntimeResponse) error {
	for _, c := range r.Components {
		if !c.Connected {
			return fault.New(fault.Unavailable, "%s is not connected: %s", c.Name, c.Reason)
		}
	}
	for _, n := range r.Nodes {
		if n.Domain == r.Domain && n.State == "live" {
			return nil
		}
	}
	return fault.New(fault.Unavailable, "no session with the Message Node of %s", r.Domain)
}
