package registry

import (
	"context"
	"maps"
	"slices"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// Connect starts the set-up of a connection with the runtime of an address, now,
// whatever happened before. It gives the entry, and does not wait for it to be
// live. Errors: NotFound when the runtime or its handler cannot be found,
// Unavailable when its domain registry cannot be asked, Forbidden by policy,
// TooMany.
func (r *Registry) Connect(ctx context.Context, addr string) (*pb.Connection, error) {
	if r.cfg.Policy.P2P == Never {
		return nil, fault.New(fault.Forbidden, "this runtime starts no P2P connections")
	}
	ctx, cancel := context.WithTimeout(ctx, r.limits.LookupWait)
	defer cancel()
	remote, handlerURL, err := r.find(ctx, addr)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.setUpLocked(remote, handlerURL, addr); err != nil {
		return nil, err
	}
	c := r.known.table.get(remote)
	return r.protoLocked(&c), nil
}

// protoLocked gives an entry as the API has it.
func (r *Registry) protoLocked(c *connection) *pb.Connection {
	out := r.known.table.proto(c)
	if p := r.p2p[c.Replica]; p != nil {
		out.ReplicaAddr = p.member.Addr
	}
	return out
}

// Disconnect closes a connection and removes its entry. Error: NotFound.
func (r *Registry) Disconnect(idOrRemote string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	remote, err := r.findLocked(idOrRemote)
	if err != nil {
		return err
	}
	return r.applyLocked(event{kind: closed, remote: remote, reason: "closed on request"})
}

// findLocked gives the remote runtime of an entry.
func (r *Registry) findLocked(idOrRemote string) (remote string, err error) {
	if err := address.Check("connection", idOrRemote); err != nil {
		return "", err
	}
	remote, ok := r.known.table.find(idOrRemote)
	if !ok {
		return "", fault.New(fault.NotFound, "there is no connection %q", idOrRemote).In("connection")
	}
	return remote, nil
}

// Connection gives one entry of the table, by its id or its remote runtime.
func (r *Registry) Connection(idOrRemote string) (*pb.Connection, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	remote, err := r.findLocked(idOrRemote)
	if err != nil {
		return nil, err
	}
	return r.protoLocked(r.known.table.byRemote[remote]), nil
}

// Connections gives the table, sorted by remote runtime.
func (r *Registry) Connections() []*pb.Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*pb.Connection, 0, len(r.known.table.byRemote))
	for _, remote := range slices.Sorted(maps.Keys(r.known.table.byRemote)) {
		all = append(all, r.protoLocked(r.known.table.byRemote[remote]))
	}
	return all
}

// watcher is one who follows the table. What has changed since it was last told
// is kept once an entry, and an entry that has come and gone meanwhile not at all,
// so that a slow one costs no more than the table has. Registry.mu guards it.
type watcher struct {
	dirty map[string]string   // id → remote
	told  map[string]struct{} // ids that it has
	wake  chan struct{}
}

// watchConnections gives send the whole table, then what changes, until ctx is
// done or send fails.
func (r *Registry) watchConnections(ctx context.Context, send func(*pb.WatchConnectionsResponse) error) error {
	w := &watcher{dirty: map[string]string{}, told: map[string]struct{}{}, wake: make(chan struct{}, 1)}
	r.mu.Lock()
	r.watchers[w] = struct{}{}
	for remote, c := range r.known.table.byRemote {
		w.dirty[c.ID] = remote
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.watchers, w)
		r.mu.Unlock()
	}()
	for {
		if err := send(r.newsFor(w)); err != nil {
			return err
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil
		case <-r.stopped:
			return r.over()
		}
	}
}

func (r *Registry) newsFor(w *watcher) *pb.WatchConnectionsResponse {
	r.mu.Lock()
	defer r.mu.Unlock()
	resp := &pb.WatchConnectionsResponse{}
	for id, remote := range w.dirty {
		if c := r.known.table.byRemote[remote]; c != nil && c.ID == id {
			resp.Connections = append(resp.Connections, r.protoLocked(c))
			w.told[id] = struct{}{}
		} else {
			resp.Removed = append(resp.Removed, id)
			delete(w.told, id)
		}
	}
	clear(w.dirty)
	return resp
}

func (r *Registry) tellWatchersLocked(id, remote string) {
	c := r.known.table.byRemote[remote]
	there := c != nil && c.ID == id
	for w := range r.watchers {
		if _, told := w.told[id]; !there && !told {
			delete(w.dirty, id)
			continue
		}
		w.dirty[id] = remote
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}
