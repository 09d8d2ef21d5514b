package main

import (
	"context"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/sequence"
)

// judge prints the p2pConnection tables and a summary, and tells what did not
// happen.
func (st *stage) judge(ctx context.Context, p *printer, system *local.System) error {
	for _, r := range []*local.Runtime{st.alice, st.bob} {
		if err := printConnections(ctx, p, r); err != nil {
			return err
		}
	}
	over, lost := st.counts()
	p.print("\nSummary\n")
	if len(st.results) > 0 {
		p.print("  first message over the %s after %.1f ms\n", st.results[0].path, milliseconds(st.results[0].latency))
	}
	if !st.live.IsZero() {
		p.print("  live after %.1f ms\n", milliseconds(st.live.Sub(st.began)))
	}
	p.print("  %d messages over the %s, %d over the %s, %d lost\n", over[relayed], relayed, over[direct], direct, lost)
	if err := st.verdict(); err != nil {
		return err
	}
	found := sequence.Find(system.Events(), st.alice.URL, st.bob.URL)
	if err := sequence.Check(found); err != nil {
		return err
	}
	p.print("  all %d steps of the sequence, in order\n", len(found))
	return nil
}

func printConnections(ctx context.Context, p *printer, r *local.Runtime) error {
	resp, err := pb.NewRegistryClient(r.Registry).ListConnections(ctx, &pb.ListConnectionsRequest{})
	if err != nil {
		return err
	}
	p.print("\np2pConnection table of %s\n", r.URL)
	p.mu.Lock()
	defer p.mu.Unlock()
	return table(p.out, connectionHeading, connectionRows(resp.Connections, time.Now()))
}
