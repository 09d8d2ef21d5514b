package main

import (
	"context"
	"encoding/json"

	"github.com/peerbus/peerbus/bench/baseline"
	"github.com/peerbus/peerbus/bench/internal/worker"
	"github.com/peerbus/peerbus/bench/ours"
	"github.com/peerbus/peerbus/internal/run"
)

// roles are what this program is as a worker. Those that messages pass have a heap that is
// fitted, as peerbus has, which takes a fifth off the CPU time of all baselines. Of the
// others memory is measured.
var roles = map[string]worker.Role{
	ours.EndRole:           fitted(worker.As(ours.NewEnd)),
	baseline.RelayRole:     fitted(worker.As(baseline.NewRelay)),
	baseline.RelayEndRole:  fitted(worker.As(baseline.NewRelayEnd)),
	baseline.NATSRole:      fitted(worker.As(baseline.NewNATS)),
	baseline.NATSEndRole:   fitted(worker.As(baseline.NewNATSEnd)),
	baseline.PionRole:      fitted(worker.As(baseline.NewPion)),
	ours.CrowdedRole:       worker.As(ours.NewCrowded),
	ours.SessionsRole:      worker.As(ours.NewSessions),
	baseline.StreamsRole:   worker.As(baseline.NewStreams),
	baseline.CrowdRole:     worker.As(baseline.NewCrowd),
	ours.SetUpRole:         worker.As(ours.NewSetUp),
	baseline.PionSetUpRole: worker.As(baseline.NewPionSetUp),
	baseline.PionHeldRole:  worker.As(baseline.NewPionHeld),
}

// fitted is a role whose heap is as that of the program peerbus.
func fitted(r worker.Role) worker.Role {
	return func(ctx context.Context, config json.RawMessage) (worker.Ops, error) {
		run.FitHeap()
		return r(ctx, config)
	}
}
