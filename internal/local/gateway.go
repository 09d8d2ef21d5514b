package local

import (
	"context"
	"io"
	"net/http"

	"github.com/peerbus/peerbus/internal/fault"
)

// StartGateway runs the gateway of a runtime whose services are processes of their
// own; an all-in-one has one already. extra are more flags.
func (s *System) StartGateway(r *Runtime, extra ...string) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	r.HTTPAddr, r.MetricsAddrs["gateway"] = ports[0], ports[0]
	args := append([]string{"gateway", "--http-addr", r.HTTPAddr, "--runtime-url", r.URL,
		"--bus-addr", r.BusAddr, "--registry-addr", r.RegistryAddr}, extra...)
	r.Processes["gateway"], err = s.Start("gateway of "+r.URL, args...)
	return err
}

// GatewayReady waits until the runtime is ready, and its gateway.
func (s *System) GatewayReady(ctx context.Context, r *Runtime) error {
	if err := r.Ready(ctx); err != nil {
		return err
	}
	client, scheme, err := s.httpClient()
	if err != nil {
		return err
	}
	return poll(ctx, "the gateway of "+r.URL, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+r.HTTPAddr+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			why, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
			return fault.New(fault.Unavailable, "/readyz says %s: %s", resp.Status, why)
		}
		return nil
	})
}
