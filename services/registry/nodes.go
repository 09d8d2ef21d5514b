package registry

import (
	"context"
	"log/slog"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// node is the Message Node stub of one domain.
type node struct {
	deployed bool
	lost     bool          // the Message Node stub that had it was restarted, and is to be told again
	done     chan struct{} // closed when the deployment that is under way has ended
	err      error         // why it failed; set before done is closed
}

// nodeLocked gives the stub of a domain, and deploys it at the first need. It is
// there when deployed is set; else done tells when to look again.
func (r *Registry) nodeLocked(domain string) (*node, error) {
	if n := r.nodes[domain]; n != nil {
		return n, nil
	}
	if len(r.nodes) >= r.limits.Domains {
		return nil, fault.New(fault.TooMany, "this runtime has %d Message Node stubs already", len(r.nodes))
	}
	n := &node{done: make(chan struct{})}
	r.nodes[domain] = n
	if !r.lanes.spawn(func(ctx context.Context) { r.deployNode(ctx, domain, n) }) {
		delete(r.nodes, domain)
		return nil, r.over()
	}
	return n, nil
}

// deployNode makes the stub. What fails is forgotten, so that the next need tries
// again.
func (r *Registry) deployNode(ctx context.Context, domain string, n *node) {
	stub := address.NodeStubURL(r.rules.own, domain)
	err := r.callDeploy(ctx, domain)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		n.err = fault.New(fault.Unavailable, "the Message Node stub of %s cannot be deployed now: %w", domain, err)
		if r.nodes[domain] == n {
			delete(r.nodes, domain)
		}
		if fault.CodeOf(err) == fault.BadRequest {
			delete(r.wantedNodes, domain) // it is no domain, and will never be one
		}
	} else {
		n.deployed = true
		r.log.Debug("node stub deployed", "domain", domain, "stub", stub)
		delete(r.wantedNodes, domain)
		r.rerouteLocked([]string{nodeKey(domain)})
	}
	close(n.done)
}

func (r *Registry) deployedLocked(domain string) bool {
	n := r.nodes[domain]
	return n != nil && n.deployed
}

// nodeKey is what a route hangs on that can use the Message Node of a domain. No
// address begins with a space.
func nodeKey(domain string) string { return " node " + domain }

// wantNodeLocked deploys the stub of a domain in the background, and tries that
// until it succeeds, or the Message Node stub says that this is no domain.
func (r *Registry) wantNodeLocked(domain string) {
	if domain == "" || r.deployedLocked(domain) {
		return
	}
	if _, err := r.nodeLocked(domain); err == nil {
		r.missNodeLocked(domain)
	}
}

// missNodeLocked has the stub of a domain, which could not be deployed, tried again
// with the next tick.
func (r *Registry) missNodeLocked(domain string) {
	if len(r.wantedNodes) < r.limits.Domains {
		r.wantedNodes[domain] = struct{}{}
	}
}

// deployWantedLocked tries again what could not be deployed.
func (r *Registry) deployWantedLocked() {
	for domain := range r.wantedNodes {
		if _, err := r.nodeLocked(domain); err != nil {
			delete(r.wantedNodes, domain)
		}
	}
}

func (r *Registry) callDeploy(ctx context.Context, domain string) error {
	ctx, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
	defer cancel()
	_, err := r.cfg.NodeStub.Deploy(ctx, &pb.NodeStubDeployRequest{
		Domain: domain, StubUrl: address.NodeStubURL(r.rules.own, domain),
	})
	return err
}

// redeployLostLocked tells a Message Node stub that was restarted what it had. Routes
// that lead there stay as they are; its next Watch shows what is still missing.
// What fails is logged at the level failed, and tried again with the next tick.
func (r *Registry) redeployLostLocked(failed slog.Level) {
	for domain, n := range r.nodes {
		if n.lost {
			n.lost = false
			r.lanes.spawn(func(ctx context.Context) { r.redeployNode(ctx, domain, n, failed) })
		}
	}
}

func (r *Registry) redeployNode(ctx context.Context, domain string, n *node, failed slog.Level) {
	err := r.callDeploy(ctx, domain)
	if err == nil || ctx.Err() != nil {
		return
	}
	r.log.Log(ctx, failed, "a Message Node stub cannot be deployed again yet", "domain", domain, "error", err)
	r.mu.Lock()
	defer r.mu.Unlock()
	n.lost = true
}

// haveNode waits until the stub of a domain is deployed, within DeployWait.
func (r *Registry) haveNode(ctx context.Context, domain string) error {
	r.mu.Lock()
	n, err := r.nodeLocked(domain)
	ready := err == nil && n.deployed
	r.mu.Unlock()
	if err != nil || ready {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
	defer cancel()
	select {
	case <-n.done:
		return n.err
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "the Message Node stub of %s is still being deployed", domain)
	}
}
