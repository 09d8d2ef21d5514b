package registry

import (
	"context"
	"slices"

	"github.com/peerbus/peerbus/client"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// subscribeBatch is how many addresses one subscription names: as many as fit
// into a frame of 16 KiB or so.
const subscribeBatch = 128

// listen adds the registry's own listeners, as soon as the bus is there. Older
// runtimes write its address with a slash behind it. Where there are several P2P
// stubs, it takes what comes to the runtime's handler too.
func (r *Registry) listen(ctx context.Context) error {
	own := address.Registry(r.rules.own)
	if r.several() && !r.listenAt(ctx, r.handler, r.takeForHandler) {
		return nil
	}
	for _, addr := range []string{own, own + "/"} {
		if !r.listenAt(ctx, addr, r.takeMessage) {
			return nil
		}
	}
	return nil
}

// listenAt adds one listener. It tells whether ctx lasts.
func (r *Registry) listenAt(ctx context.Context, addr string, take client.Handler) bool {
	var wait retry.Backoff
	for {
		_, err := r.bus.Listen(ctx, addr, take)
		if err == nil || ctx.Err() != nil || fault.CodeOf(err) == fault.Conflict {
			return true
		}
		r.log.Warn("the registry cannot listen yet", "address", addr, "error", err)
		if wait.Wait(ctx) != nil {
			return false
		}
	}
}

// renewLater has everything subscribed again.
func (r *Registry) renewLater() {
	select {
	case r.renew <- struct{}{}:
	default:
	}
}

// keepSubscribed makes this runtime's addresses known to its own Message Node whenever
// that has a new session, the first one among them (wire contract, section 7).
func (r *Registry) keepSubscribed(ctx context.Context) error {
	for {
		select {
		case <-r.renew:
		case <-ctx.Done():
			return nil
		}
		var wait retry.Backoff
		for !r.subscribeAll(ctx) {
			if wait.Wait(ctx) != nil {
				return nil
			}
		}
	}
}

// subscribeAll tells whether the node has taken everything. What it refuses for
// good is reported and left.
func (r *Registry) subscribeAll(ctx context.Context) bool {
	own := r.rules.own
	if !r.subscribe(ctx, r.handler, r.handler) ||
		!r.subscribe(ctx, own, address.Bus(own), address.Registry(own)) {
		return false
	}
	for _, c := range r.entries() {
		if c.Role == requester && c.Stub != "" && !r.subscribe(ctx, c.Stub, c.Stub) {
			return false
		}
	}
	for batch := range slices.Chunk(r.registeredAddresses(), subscribeBatch) {
		if !r.subscribe(ctx, address.Registry(own), batch...) {
			return false
		}
	}
	return true
}

func (r *Registry) subscribe(ctx context.Context, source string, addresses ...string) bool {
	_, err := r.request(ctx, r.limits.RequestWait, r.subscription(message.Subscribe, source, addresses...))
	switch fault.CodeOf(err) {
	case fault.OK:
		return true
	case fault.BadRequest, fault.Forbidden, fault.TooLarge:
		r.log.Warn("the Message Node refuses a subscription", "source", source, "error", err)
		return true
	default:
		r.log.Debug("a subscription cannot be made yet", "source", source, "error", err)
		return false
	}
}

// registeredAddresses gives what the node must bring for what runs here.
func (r *Registry) registeredAddresses() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, reg := range r.known.registrations {
		all = append(all, reg.addresses()...)
	}
	slices.Sort(all)
	return all
}
