package p2pstub

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// watchers are told of every change of a peer. A slow one is cut: it comes back
// and begins with a snapshot. They are guarded by the stub's mutex.
type watchers struct {
	limits  Limits
	all     map[*watcher]bool
	metrics *metrics
}

type watcher struct {
	changes chan *pb.Peer // closed when it is cut, or the stub ends
}

func (w *watchers) add() (*watcher, error) {
	if len(w.all) >= w.limits.Watchers {
		return nil, fault.New(fault.TooMany, "there are %d watchers already", len(w.all))
	}
	one := &watcher{changes: make(chan *pb.Peer, w.limits.WatchQueue)}
	w.all[one] = true
	return one, nil
}

func (w *watchers) remove(one *watcher) {
	if w.all[one] {
		delete(w.all, one)
		close(one.changes)
	}
}

// tell hands a change to all; it never waits.
func (w *watchers) tell(p *pb.Peer) {
	if len(w.all) == 0 {
		return
	}
	p = proto.CloneOf(p)
	for one := range w.all {
		select {
		case one.changes <- p:
		default:
			w.metrics.watchersCut.Inc()
			w.remove(one)
		}
	}
}

func (w *watchers) end() {
	for one := range w.all {
		w.remove(one)
	}
}
