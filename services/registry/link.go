package registry

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/retry"
	"github.com/peerbus/peerbus/internal/run"
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

// links are those of all connections. One that is made beside another takes its
// place when its connection does.
type links struct {
	mu     sync.Mutex
	all    map[string]*link // by remote runtime
	beside map[string]*link // likewise
}

func newLinks() links { return links{all: map[string]*link{}, beside: map[string]*link{}} }

func (l *links) get(remote string) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[remote]
}

// put adds a link where there is none.
func (l *links) put(remote string, beside bool, to *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if beside {
		l.beside[remote] = to
	} else {
		l.all[remote] = to
	}
}

// take gives the link of a runtime, which has it no more; nil when there is none.
func (l *links) take(remote string, beside bool) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := l.all
	if beside {
		from = l.beside
	}
	old := from[remote]
	delete(from, remote)
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
	r.endLink(ctx, remote, e.beside)
	l := &link{id: uuid.NewString(), unask: func() {}}
	l.ctx, l.cancel = context.WithCancel(ctx)
	r.links.put(remote, e.beside, l)
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

// endLink ends what a connection has on the bus, and waits for it. What is made
// beside it goes with it, and can go alone.
func (r *Registry) endLink(ctx context.Context, remote string, beside bool) {
	r.closeLink(ctx, r.links.take(remote, true))
	if beside {
		return
	}
	l := r.links.take(remote, false)
	if l == nil {
		return
	}
	r.closeLink(ctx, l)
	r.mu.Lock()
	r.feed.unsubscribe(remote)
	r.mu.Unlock()
}

func (r *Registry) closeLink(ctx context.Context, l *link) {
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
}

// swapLinks puts the link that was made beside another in its place. What the
// other side has subscribed here goes over the new connection before it leaves the
// old one. The old one's own address stays for a while: messages may be on their
// way to it.
func (r *Registry) swapLinks(ctx context.Context, remote, url string) {
	l := r.links.take(remote, true)
	if l == nil {
		return
	}
	old := r.links.take(remote, false)
	r.links.put(remote, false, l)
	r.mu.Lock()
	_, subscribed := r.feed.subscribers[remote]
	r.mu.Unlock()
	changes := address.RegistryChanges(r.rules.own)
	if subscribed {
		within, cancel := context.WithTimeout(l.ctx, r.limits.DeployWait)
		if err := r.listenThrough(within, l, changes, url); err != nil {
			r.log.Warn("a remote registry is not told of changes any more", "remote", remote, "error", err)
		}
		cancel()
	}
	if old == nil {
		return
	}
	old.cancel()
	old.work.Wait()
	old.drop(ctx, changes)
	l.inherit(old, address.RegistryChanges(remote))
	if !r.lanes.spawn(func(ctx context.Context) {
		_ = run.Sleep(ctx, r.limits.Drain)
		r.closeLink(ctx, old)
	}) {
		r.closeLink(ctx, old)
	}
}

// inherit takes a listener over from the link before.
func (l *link) inherit(from *link, addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from.mu.Lock()
	defer from.mu.Unlock()
	l.listens = from.listens
	from.listeners = slices.DeleteFunc(from.listeners, func(listener *client.Listener) bool {
		if listener.Address() != addr {
			return false
		}
		l.listeners = append(l.listeners, listener)
		return true
	})
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
	return again(ctx, func() error { return r.subscribeAtStub(ctx, remote, e) })
}

// subscribeAtStub is step 3.
func (r *Registry) subscribeAtStub(ctx context.Context, remote string, e effect) error {
	_, err := r.request(ctx, r.limits.RegisterWait, &pb.Message{
		Id: message.StringID(uuid.NewString()), Type: message.Subscribe, Source: e.stub,
		From: address.Registry(r.rules.own), To: e.stub,
		// resource tells the handler stub, which has many peers, which one is meant.
		Body: message.MarshalBody(map[string]any{
			"subscribe": []string{e.url}, "source": e.stub, "resource": remote,
		}),
	})
	return err
}

// leadAgain does step 3 again for a stub that does not lead the address over its
// connection any more.
func (r *Registry) leadAgain(remote string, e effect) {
	l := r.links.get(remote)
	if l == nil {
		return
	}
	l.work.Add(1)
	if !r.lanes.spawn(func(context.Context) {
		defer l.work.Done()
		ctx, cancel := context.WithTimeout(l.ctx, r.limits.RegisterWait)
		defer cancel()
		err := again(ctx, func() error { return r.subscribeAtStub(ctx, remote, e) })
		if err != nil && l.ctx.Err() == nil {
			r.log.Warn("a stub does not take the p2p connection again", "remote", remote, "stub", e.stub, "error", err)
		}
	}) {
		l.work.Done()
	}
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
			if l := r.links.get(remote); l != nil { // a successor takes the listener over
				r.takeUpdate(l, remote, m)
			}
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
