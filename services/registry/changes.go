package registry

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// publish tells the subscribers of each change; several that come at once are one.
func (r *Registry) publish(ctx context.Context) error {
	for {
		select {
		case <-r.feed.wake:
		case <-ctx.Done():
			return nil
		}
		r.mu.Lock()
		c, due := r.feed.next()
		wanted, deltas := len(r.feed.subscribers) > 0, r.feed.anyDeltas()
		r.mu.Unlock()
		if !due || !wanted {
			continue
		}
		if !deltas {
			c = c.plain()
		}
		if err := r.bus.Send(ctx, &pb.Message{
			Id: message.StringID(uuid.NewString()), Type: message.Update,
			From: address.Registry(r.rules.own), To: address.RegistryChanges(r.rules.own),
			Body: message.MarshalBody(c),
		}); err != nil && ctx.Err() == nil {
			r.log.Warn("the change of what runs here is not published", "error", err)
		}
	}
}

// addresses is a list in JSON, or one of them alone.
type addresses []string

func (a *addresses) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = addresses{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// subscribeBody of a subscription. `deltas` and `link` are ours: whoever sends them
// knows the added, removed and version of a change, and subscribes anew with
// another link when it knows nothing of what was before.
type subscribeBody struct {
	Subscribe   addresses `json:"subscribe,omitempty"`
	Resources   addresses `json:"resources,omitempty"`
	Unsubscribe addresses `json:"unsubscribe,omitempty"`
	Deltas      bool      `json:"deltas,omitempty"`
	Link        string    `json:"link,omitempty"`
}

// takeMessage is what comes to the registry's own address.
func (r *Registry) takeMessage(ctx context.Context, m *pb.Message) {
	if message.IsResponse(m) {
		return // late: whoever asked has gone
	}
	var body subscribeBody
	err := message.UnmarshalBody(m, &body)
	changes := address.RegistryChanges(r.rules.own)
	switch {
	case err != nil:
	case m.Type == message.Subscribe && slices.Contains(slices.Concat(body.Subscribe, body.Resources), changes):
		r.takeSubscription(ctx, m, subscriber{body.Deltas, body.Link})
		return
	case m.Type == message.Unsubscribe && slices.Contains(slices.Concat(body.Unsubscribe, body.Resources), changes):
		r.takeUnsubscription(ctx, m)
		return
	default:
		err = fault.New(fault.BadRequest, "the registry takes subscribe and unsubscribe of %s", changes)
	}
	r.respond(ctx, message.Refuse(m, err))
}

func (r *Registry) respond(ctx context.Context, m *pb.Message) {
	if err := r.bus.Send(ctx, m); err != nil && ctx.Err() == nil {
		r.log.Debug("an answer is not sent", "to", m.To, "error", err)
	}
}

// takeSubscription lets a remote registry know what runs here (steps 11 to 14 of
// the registration). Its side can be live a moment before ours.
func (r *Registry) takeSubscription(ctx context.Context, m *pb.Message, who subscriber) {
	remote, err := r.subscriber(m)
	if err != nil {
		r.respond(ctx, message.Refuse(m, err))
		return
	}
	select {
	case r.slots <- struct{}{}:
	default:
		r.respond(ctx, message.Refuse(m, fault.New(fault.TooMany, "too many subscriptions wait")))
		return
	}
	r.lanes.spawn(func(ctx context.Context) {
		defer func() { <-r.slots }()
		ctx, cancel := context.WithTimeout(ctx, r.limits.RegisterWait)
		defer cancel()
		if r.await(ctx, func() bool { c := r.known.table.get(remote); return c.usable() }) != nil {
			r.respond(ctx, message.Refuse(m, fault.New(fault.Forbidden, "there is no live connection with %s", remote)))
			return
		}
		r.lanes.settle(ctx, remote)
		r.lanes.put(remote, func(ctx context.Context) { r.acceptSubscription(ctx, remote, m, who) })
	})
}

// subscriber gives the remote runtime whose registry a message is from.
func (r *Registry) subscriber(m *pb.Message) (string, error) {
	if r.cfg.Policy.HideChanges {
		return "", fault.New(fault.Forbidden, "this runtime does not tell what it runs")
	}
	u, err := address.Parse(strings.TrimSuffix(m.From, "/"))
	if err != nil || u.Runtime == "" || u.Text != address.Registry(u.Runtime) {
		return "", fault.New(fault.Forbidden, "%s is no registry of a runtime", m.From)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.known.table.get(u.Runtime); !c.usable() && !c.underWay() {
		return "", fault.New(fault.Forbidden, "there is no connection with %s", u.Runtime)
	}
	return u.Runtime, nil
}

// acceptSubscription adds the listener that leads to the connection, and answers
// with all addresses. It runs in the entry's lane.
func (r *Registry) acceptSubscription(ctx context.Context, remote string, m *pb.Message, who subscriber) {
	l := r.links.get(remote)
	r.mu.Lock()
	c := r.known.table.get(remote)
	before, had := r.feed.subscribers[remote]
	r.mu.Unlock()
	if l == nil || !c.usable() {
		r.respond(ctx, message.Refuse(m, fault.New(fault.Forbidden, "the connection with %s is gone", remote)))
		return
	}
	if !had {
		within, cancel := context.WithTimeout(l.ctx, r.limits.RegisterWait)
		err := r.listenThrough(within, l, address.RegistryChanges(r.rules.own), c.URL)
		cancel()
		if err != nil {
			r.respond(ctx, message.Refuse(m, err))
			return
		}
	}
	r.mu.Lock()
	r.feed.subscribers[remote] = who
	body := r.feed.now()
	r.mu.Unlock()
	if !who.deltas {
		body = body.plain()
	}
	r.respond(ctx, message.Answer(m, fault.OK, body))
	if had && before.link != who.link {
		// Its registry has started anew, and does not know our subscription any more.
		r.learn(remote)
	}
}

// takeUnsubscription ends it.
func (r *Registry) takeUnsubscription(ctx context.Context, m *pb.Message) {
	u, _ := address.Parse(strings.TrimSuffix(m.From, "/"))
	if r.links.get(u.Runtime) == nil {
		r.respond(ctx, message.Answer(m, fault.OK, nil)) // nothing is left of it
		return
	}
	r.lanes.settle(ctx, u.Runtime)
	r.lanes.put(u.Runtime, func(ctx context.Context) {
		if l := r.links.get(u.Runtime); l != nil {
			l.drop(ctx, address.RegistryChanges(r.rules.own))
		}
		r.mu.Lock()
		r.feed.unsubscribe(u.Runtime)
		r.mu.Unlock()
		r.respond(ctx, message.Answer(m, fault.OK, nil))
	})
}

// drop closes one of a link's listeners.
func (l *link) drop(ctx context.Context, addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listeners = slices.DeleteFunc(l.listeners, func(listener *client.Listener) bool {
		if listener.Address() != addr {
			return false
		}
		_ = listener.Close(ctx)
		return true
	})
}

// takeUpdate makes the entry's addresses those that the remote registry lists, in
// its answer or in an update. One that is older than what is known is dropped.
func (r *Registry) takeUpdate(l *link, remote string, m *pb.Message) {
	from := strings.TrimSuffix(m.From, "/")
	var c struct {
		Value   *addresses `json:"value"`
		Version uint64     `json:"version"`
	}
	if err := message.UnmarshalBody(m, &c); err != nil || c.Value == nil || from != address.Registry(remote) {
		r.log.Debug("update of a remote registry cannot be used", "remote", remote, "from", m.From, "error", err)
		return
	}
	l.mu.Lock()
	old := c.Version > 0 && l.seen && c.Version <= l.version
	if !old {
		l.version, l.seen = c.Version, true
	}
	l.mu.Unlock()
	if old || l.ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.learnLocked(remote, *c.Value)
}

// mayListLocked tells whether a remote registry's word for an address is taken:
// not for one of ours, of another runtime, or of no hyperty or data object.
func (r *Registry) mayListLocked(remote, addr string) bool {
	u, err := address.Parse(addr)
	if err != nil || !isLookedUp(u) || r.known.isOwn(u) {
		return false
	}
	p, ok := r.known.cache.get(entityOf(u), r.cfg.Now())
	return !ok || p.runtime == "" || p.runtime == remote
}

// learnLocked makes the addresses that a remote registry lists exactly these.
func (r *Registry) learnLocked(remote string, all []string) {
	c := r.known.table.get(remote)
	if !c.exists() {
		return
	}
	want := map[string]bool{}
	for _, a := range all {
		if r.mayListLocked(remote, a) {
			want[a] = true
		}
	}
	var touched []string
	for _, a := range r.known.table.listings.listed(remote, fed) {
		if !want[a] && r.known.table.listings.remove(remote, a) {
			r.known.cache.remove(entity(a)) // it was there, and is not now
			touched = append(touched, a)
		}
	}
	for a := range want {
		if r.known.table.add(remote, a, fed, r.limits.Addresses) {
			touched = append(touched, a)
		}
	}
	r.log.Debug("addresses learned", "remote", remote, "count", len(want))
	if len(touched) == 0 {
		return
	}
	slices.Sort(touched)
	r.tellWatchersLocked(c.ID, remote)
	r.stalePeersLocked(touched)
	r.rerouteLocked(touched)
}
