package main

import (
	"context"
	"fmt"
	"sync"
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

func (p *printer) print(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.out, format, args...)
}

// stepTracker tells which steps have been reached, as events come. Events of
// several processes come a little out of order, so it looks at all of them
// again: there are some hundreds until the last step is reached, and it stops
// then.
type stepTracker struct {
	mu         sync.Mutex
	alice, bob string
	events     []sequence.Event
	told       map[int]bool
	done       bool
}

func newStepTracker() *stepTracker { return &stepTracker{told: map[int]bool{}} }

// start says who is who: from then on steps are told.
func (t *stepTracker) start(alice, bob string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alice, t.bob = alice, bob
}

// add gives the steps that are reached now and were not before.
func (t *stepTracker) add(e sequence.Event) []sequence.Reached {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return nil
	}
	t.events = append(t.events, e)
	if t.alice == "" {
		return nil
	}
	found := sequence.Find(t.events, t.alice, t.bob)
	t.done = sequence.Check(found) == nil
	var fresh []sequence.Reached
	for i, r := range found {
		if !r.Time.IsZero() && !t.told[i] {
			t.told[i] = true
			fresh = append(fresh, r)
		}
	}
	return fresh
}
