package registry

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// link is what a connection has on the bus while it is live, or becoming so: the
// listener of its p2p connection URL, and those of the change feeds of both sides.
// It is made and ended in the entry's lane.
type link struct {
	id     string          // tells the other side this link from one before it
	ctx    context.Context // ends with the link
	cancel context.CancelFunc
	unask  context.CancelFunc // ends the subscription that waits for its answer; the lane's
	work   sync.WaitGroup

	mu        sync.Mutex
	listeners []*client.Listener
	version   uint64 // of the remote feed's last update
	seen      bool   // there was one
	listens   bool   // to the remote feed
}

type links struct {
	mu  sync.Mutex
	all map[string]*link // by remote runtime
}

func newLinks() links { return links{all: map[string]*link{}} }

func (l *links) get(remote string) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[remote]
}

// swap puts a link in another's place; nil takes it away.
func (l *links) swap(remote string, to *link) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.all[remote]
	if to == nil {
		delete(l.all, remote)
	} else {
		l.all[remote] = to
	}
	return old
}

// keep remembers a listener, to be closed with the link.
func (l *link) keep(listener *client.Listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listeners = append(l.listeners, listener)
}

// startLink begins the registration of a connection (section 9, steps 1 to 3)
// beside the lane.
func (r *Registry) startLink(ctx context.Context, remote string, e effect) {
	r.endLink(ctx, remote)
	l := &link{id: uuid.NewString(), unask: func() {}}
	l.ctx, l.cancel = context.WithCancel(ctx)
	r.links.swap(remote, l)
	l.work.Add(1)
	if !r.lanes.spawn(func(context.Context) {
		defer l.work.Done()
		result := event{kind: registered, remote: remote, stub: e.stub, role: e.role, epoch: e.epoch}
		if err := r.registerConnection(l, remote, e); err != nil {
			result.kind, result.reason = refused, "the stub did not take the p2p connection: "+fault.From(err).Description
		}
		if l.ctx.Err() == nil {
			_ = r.apply(result)
		}
	}) {
		l.work.Done()
	}
}

// endLink ends what a connection has on the bus, and waits for it.
func (r *Registry) endLink(ctx context.Context, remote string) {
	l := r.links.swap(remote, nil)
	if l == nil {
		return
	}
	l.cancel()
	l.work.Wait()
	ctx, cancel := context.WithTimeout(ctx, r.limits.DeployWait)
	defer cancel()
	for _, listener := range l.listeners {
		_ = listener.Close(ctx) // without the bus there is no listener either
	}
	r.mu.Lock()
	r.feed.unsubscribe(remote)
	r.mu.Unlock()
}

// registerConnection is steps 2 and 3: the listener that leads to the stub, then
// the stub's own.
func (r *Registry) registerConnection(l *link, remote string, e effect) error {
	r.log.Debug("p2p connection address", "address", e.url, "stub", e.stub)
	ctx, cancel := context.WithTimeout(l.ctx, r.limits.RegisterWait)
	defer cancel()
	if err := r.listenThrough(ctx, l, e.url, e.stub); err != nil {
		return err
	}
	return again(ctx, func() error {
		_, err := r.request(ctx, r.limits.RegisterWait, &pb.Message{
			Id: message.StringID(uuid.NewString()), Type: message.Subscribe, Source: e.stub,
			From: address.Registry(r.rules.own), To: e.stub,
			// resource tells the handler stub, which has many peers, which one is meant.
			Body: message.MarshalBody(map[string]any{
				"subscribe": []string{e.url}, "source": e.stub, "resource": remote,
			}),
		})
		return err
	})
}

// listenThrough adds a listener that leads to another, as soon as that one is
// there.
func (r *Registry) listenThrough(ctx context.Context, l *link, addr, target string) error {
	return again(ctx, func() error {
		listener, err := r.bus.Listen(ctx, addr, nil, client.LeadsTo(target))
		if err == nil {
			l.keep(listener)
		}
		return err
	})
}

// again repeats what can succeed later, until ctx is done, and gives the error
// that it had last.
func again(ctx context.Context, try func() error) error {
	var wait retry.Backoff
	for {
		err := try()
		switch fault.CodeOf(err) {
		case fault.NotFound, fault.Timeout, fault.Unavailable, fault.TooMany:
		default:
			return err
		}
		if wait.Wait(ctx) != nil {
			return err
		}
	}
}

// learn is step 5: it subscribes the remote registry's changes, over the new
// connection. That one may refuse, and older peers say nothing: no error.
func (r *Registry) learn(remote string) {
	l := r.links.get(remote)
	if l == nil {
		return
	}
	l.unask()
	ctx, cancel := context.WithCancel(l.ctx)
	l.unask = cancel
	l.work.Add(1)
	if !r.lanes.spawn(func(context.Context) {
		defer l.work.Done()
		defer cancel()
		if err := r.subscribeChanges(ctx, l, remote); err != nil && ctx.Err() == nil {
			r.log.Debug("the remote registry does not tell what it has", "remote", remote, "error", err)
		}
	}) {
		cancel()
		l.work.Done()
	}
}

func (r *Registry) subscribeChanges(ctx context.Context, l *link, remote string) error {
	changes := address.RegistryChanges(remote)
	if l.begins() {
		listener, err := r.bus.Listen(l.ctx, changes, func(_ context.Context, m *pb.Message) {
			r.takeUpdate(l, remote, m)
		})
		if err != nil {
			l.mu.Lock()
			l.listens = false
			l.mu.Unlock()
			return err
		}
		l.keep(listener)
	}
	resp, err := r.request(ctx, r.limits.LearnWait, &pb.Message{
		Id: message.StringID(uuid.NewString()), Type: message.Subscribe,
		From: address.Registry(r.rules.own), To: address.Registry(remote),
		Body: message.MarshalBody(subscribeBody{Subscribe: addresses{changes}, Deltas: true, Link: l.id}),
	})
	if err != nil {
		return err
	}
	r.takeUpdate(l, remote, resp)
	return nil
}

// begins tells whether the remote feed is listened to for the first time. Its
// versions begin anew with each subscription.
func (l *link) begins() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.listens
	l.listens, l.seen = true, false
	return first
}
