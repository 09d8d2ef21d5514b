package gateway

import (
	"context"
	"net/http"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/peerbus/peerbus/internal/fault"
)

// readyTime is how long a probe may take: less than those who probe wait.
const readyTime = 900 * time.Millisecond

// serveReady is GET /readyz: 200 while a message that is posted here is taken.
func (g *Gateway) serveReady(w http.ResponseWriter, r *http.Request) {
	if err := g.Ready(r.Context()); err != nil {
		writeError(w, fault.New(fault.Unavailable, "not ready: %s", fault.From(err).Description))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// Ready says why the bus takes no message; nil when it does. The state of the rest of the
// runtime does not count: what is sent waits in the bus for it, or goes over what is there,
// and another gateway would do no better. It takes less than a second.
func (g *Gateway) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	resp, err := g.health.Check(ctx, &healthpb.HealthCheckRequest{})
	switch {
	case err != nil:
		return fault.New(fault.Unavailable, "the bus does not answer: %s", fault.From(err).Description)
	case resp.Status != healthpb.HealthCheckResponse_SERVING:
		return fault.New(fault.Unavailable, "the bus is stopping")
	}
	return nil
}
